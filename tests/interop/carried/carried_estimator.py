"""An estimator that goes into packages with its code."""

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin


class Shifted(RegressorMixin, BaseEstimator):
    """Predicts the mean, shifted."""

    def __init__(self, by=0):
        self.by = by

    def fit(self, data, target):
        self.mean_ = float(np.mean(target))
        return self

    def predict(self, data):
        return np.full(data.shape[0], self.mean_ + self.by)
