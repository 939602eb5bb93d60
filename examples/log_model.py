"""Log a scikit-learn model with its signature."""

from sklearn.datasets import load_iris
from sklearn.tree import DecisionTreeClassifier

import holdfast as mlflow
from holdfast.models import infer_signature

iris = load_iris()
model = DecisionTreeClassifier(max_depth=3, random_state=0).fit(iris.data, iris.target)

with mlflow.start_run():
    model_info = mlflow.sklearn.log_model(
        model,
        name="iris_classifier",
        signature=infer_signature(iris.data, model.predict(iris.data)),
    )

print("model:", model_info.model_uri)
