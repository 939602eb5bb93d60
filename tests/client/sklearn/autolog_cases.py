"""What is trained with autologging on, here and under MLflow: name -> (settings, training).

Each training is a function without arguments. Data is made here, so that both sides have the same.
"""

import warnings

import numpy as np
import pandas as pd
import scipy.sparse as sp
from sklearn import metrics
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV, cross_val_score
from sklearn.multioutput import MultiOutputRegressor
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

IRIS_X, IRIS_Y = load_iris(return_X_y=True)
BINARY_X, BINARY_Y = load_breast_cancer(return_X_y=True)
NUMBERS_X, NUMBERS_Y = load_diabetes(return_X_y=True)
FRAME = pd.DataFrame(IRIS_X, columns=["a", "b", "c", "d"])
MIXED = pd.DataFrame({"n": [1.0, 2.0, 3.0, 4.0] * 5, "s": ["x", "y", "x", "y"] * 5, "i": [1, 2, 3, 4] * 5})
MIXED_Y = [0, 1, 0, 1] * 5
WEIGHTS = np.linspace(0.5, 1.5, len(IRIS_Y))
WORDS = ["good", "bad", "good good", "bad bad"] * 5


def search_trees(**options):
    return GridSearchCV(DecisionTreeClassifier(random_state=0), {"max_depth": [1, 2, 3]}, cv=3, **options)


def evaluate():
    X_test, y_test = IRIS_X[::3], IRIS_Y[::3]  # noqa: N806
    model = DecisionTreeClassifier(max_depth=2, random_state=0).fit(IRIS_X, IRIS_Y)
    predicted = model.predict(X_test)
    metrics.accuracy_score(y_test, predicted)
    metrics.accuracy_score(y_test, predicted, normalize=False)
    metrics.f1_score(y_test, predicted, average="macro")
    model.score(X_test, y_test)
    model.score(IRIS_X, IRIS_Y)
    metrics.accuracy_score(y_test, y_test)  # of no model


def score_folds():
    cross_val_score(DecisionTreeClassifier(random_state=0), IRIS_X, IRIS_Y, cv=3)


CASES = {
    "classifier of three classes": ({}, lambda: LogisticRegression(max_iter=500).fit(IRIS_X, IRIS_Y)),
    "classifier of two classes": ({}, lambda: GaussianNB().fit(BINARY_X, BINARY_Y)),
    "classifier without probabilities": ({}, lambda: LinearSVC(random_state=0).fit(IRIS_X, IRIS_Y)),
    "classifier with a positive label": (
        {"pos_label": 1},
        lambda: DecisionTreeClassifier(max_depth=2, random_state=0).fit(BINARY_X, BINARY_Y),
    ),
    "classifier with weights": (
        {},
        lambda: DecisionTreeClassifier(max_depth=2, random_state=0).fit(IRIS_X, IRIS_Y, sample_weight=WEIGHTS),
    ),
    "classifier with weights by position": (
        {},
        lambda: DecisionTreeClassifier(max_depth=2, random_state=0).fit(IRIS_X, IRIS_Y, WEIGHTS),
    ),
    "data by keyword": ({}, lambda: LogisticRegression(max_iter=500).fit(X=IRIS_X, y=IRIS_Y)),
    "regressor of two outputs": (
        {},
        lambda: MultiOutputRegressor(Ridge()).fit(NUMBERS_X, np.stack([NUMBERS_Y, -NUMBERS_Y], axis=1)),
    ),
    "regressor": ({}, lambda: LinearRegression().fit(NUMBERS_X, NUMBERS_Y)),
    "regressor that is a tree": (
        {},
        lambda: DecisionTreeRegressor(max_depth=3, random_state=0).fit(NUMBERS_X, NUMBERS_Y),
    ),
    "frame": ({}, lambda: RandomForestClassifier(5, random_state=0).fit(FRAME, IRIS_Y)),
    "sparse": ({}, lambda: LogisticRegression(max_iter=500).fit(sp.csr_matrix(IRIS_X), IRIS_Y)),
    "integers": ({}, lambda: Ridge().fit(np.arange(20).reshape(10, 2), np.arange(10))),
    "clusters": ({}, lambda: KMeans(2, n_init=1, random_state=0).fit(IRIS_X)),
    "clusters by fit_predict": ({}, lambda: KMeans(2, n_init=1, random_state=0).fit_predict(IRIS_X)),
    "transformer by fit_transform": ({}, lambda: PCA(2).fit_transform(IRIS_X)),
    "preprocessing": ({}, lambda: StandardScaler().fit(IRIS_X)),
    "pipeline": (
        {},
        lambda: Pipeline([("scale", StandardScaler()), ("tree", DecisionTreeClassifier(random_state=0))]).fit(
            IRIS_X, IRIS_Y
        ),
    ),
    "pipeline of columns": (
        {},
        lambda: make_pipeline(
            ColumnTransformer([("o", OneHotEncoder(), ["s"]), ("p", "passthrough", ["n", "i"])]), LogisticRegression()
        ).fit(MIXED, MIXED_Y),
    ),
    "pipeline of texts": ({}, lambda: make_pipeline(CountVectorizer(), LogisticRegression()).fit(WORDS, MIXED_Y)),
    "pipeline by fit_transform": ({}, lambda: make_pipeline(StandardScaler(), PCA(2)).fit_transform(IRIS_X)),
    "vote": (
        {},
        lambda: VotingClassifier([("a", LogisticRegression(max_iter=500)), ("b", GaussianNB())]).fit(IRIS_X, IRIS_Y),
    ),
    "grid search": ({}, lambda: search_trees().fit(IRIS_X, IRIS_Y)),
    "grid search with two runs": ({"max_tuning_runs": 2}, lambda: search_trees().fit(IRIS_X, IRIS_Y)),
    "grid search with all runs": ({"max_tuning_runs": None}, lambda: search_trees().fit(IRIS_X, IRIS_Y)),
    "grid search without runs": ({"max_tuning_runs": 0}, lambda: search_trees().fit(IRIS_X, IRIS_Y)),
    "grid search by two metrics": (
        {"max_tuning_runs": 2},
        lambda: search_trees(scoring=["accuracy", "f1_macro"], refit="f1_macro").fit(IRIS_X, IRIS_Y),
    ),
    "grid search without a best": (
        {},
        lambda: search_trees(scoring=["accuracy", "f1_macro"], refit=False).fit(IRIS_X, IRIS_Y),
    ),
    "random search of a pipeline": (
        {},
        lambda: RandomizedSearchCV(
            Pipeline([("scale", StandardScaler()), ("ridge", Ridge())]),
            {"ridge__alpha": [0.1, 1.0, 10.0]},
            n_iter=2,
            random_state=0,
            cv=3,
        ).fit(NUMBERS_X, NUMBERS_Y),
    ),
    "no models": ({"log_models": False}, lambda: LinearRegression().fit(NUMBERS_X, NUMBERS_Y)),
    "no datasets": ({"log_datasets": False}, lambda: LinearRegression().fit(NUMBERS_X, NUMBERS_Y)),
    "no signatures": ({"log_model_signatures": False}, lambda: LinearRegression().fit(NUMBERS_X, NUMBERS_Y)),
    "input examples": ({"log_input_examples": True}, lambda: LinearRegression().fit(NUMBERS_X, NUMBERS_Y)),
    "more tags": ({"extra_tags": {"team": "a"}}, lambda: LinearRegression().fit(NUMBERS_X, NUMBERS_Y)),
    "evaluation": ({}, evaluate),
    "no evaluation": ({"log_post_training_metrics": False}, evaluate),
    "cross validation": ({}, score_folds),
}

# What sklearn says about the data is not of interest.
warnings.filterwarnings("ignore", module="sklearn")
