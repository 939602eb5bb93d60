"""Data and estimators that several tests of autologging train."""

from __future__ import annotations

from sklearn.datasets import load_iris
from sklearn.linear_model import LinearRegression

X, Y = load_iris(return_X_y=True)


class Stubborn(LinearRegression):
    """An estimator of the user's own, which does what it is told."""

    def __init__(self, behaviour=None):
        self.behaviour = behaviour
        super().__init__()

    def fit(self, X, y=None):  # noqa: N803
        self.behaviour(self)
        return super().fit(X, y)


def raise_(error):
    def act(_self):
        raise error

    return act
