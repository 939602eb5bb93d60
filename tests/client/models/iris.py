"""The flowers that models of these tests are fitted to."""

import pandas as pd
from sklearn.datasets import load_iris

X, Y = load_iris(return_X_y=True)
FRAME = pd.DataFrame(X, columns=["a", "b", "c", "d"])
TREE = "sklearn.tree._tree.Tree"
