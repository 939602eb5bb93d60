"""Register a model as a new version, and load the first version by its name."""

from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier

import holdfast as mlflow

X, y = load_iris(return_X_y=True)
model = RandomForestClassifier(n_estimators=25, random_state=0).fit(X, y)

with mlflow.start_run():
    model_info = mlflow.sklearn.log_model(
        model,
        name="forest",
        input_example=X[:2],
        registered_model_name="production-classifier",
    )

loaded = mlflow.sklearn.load_model("models:/production-classifier/1")
print("version:", model_info.registered_model_version)
print("predictions equal:", bool((loaded.predict(X) == model.predict(X)).all()))
