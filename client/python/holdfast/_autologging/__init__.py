"""Logging of what scikit-learn's estimators do, without a word of the user's.

Methods of estimators and functions of scikit-learn are wrapped (``patches``) as its modules are imported (``imports``).
The wrapped ``fit`` logs what a ``training`` was given and what came of it, unless it is part of another one
(``sessions``). The wrapped ``predict`` and ``sklearn.metrics`` log ``evaluations`` of what was trained. What goes wrong
with logging is a warning (``steps``), never the user's matter.
"""
