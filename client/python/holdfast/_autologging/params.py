"""Parameters of estimators as a run can have them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from holdfast._autologging.steps import Steps
from holdfast.format.names import MAX_PARAM_VALUE, broken_key_rule

_CUT = "..."


def is_search(estimator: Any) -> bool:
    """Whether an estimator tries parameters out: its own estimator's are where it begins, not what it finds."""
    from sklearn.model_selection import GridSearchCV, RandomizedSearchCV

    return isinstance(estimator, (GridSearchCV, RandomizedSearchCV))


def params_of(estimator: Any) -> dict[str, Any]:
    """All parameters, those of nested estimators included; of a search only its own."""
    return dict(estimator.get_params(deep=not is_search(estimator)))


def best_params_of(estimator: Any) -> dict[str, Any]:
    """The parameters that a search found; none when it chose none, and of what is no search."""
    if not is_search(estimator):
        return {}
    return {f"best_{key}": value for key, value in getattr(estimator, "best_params_", {}).items()}


def loggable(params: Mapping[str, Any], steps: Steps) -> dict[str, str]:
    """The texts of parameters. What is cut or left out because a run cannot have it is told."""
    texts: dict[str, str] = {}
    for key, value in params.items():
        with steps.step(f"The param {key!r:.100}"):
            rule = broken_key_rule(key)
            if rule:
                steps.warn(f"The param {key!r:.100} is left out: {rule}.")
                continue
            text = str(value).encode(errors="replace").decode()
            if len(text) > MAX_PARAM_VALUE:
                steps.warn(
                    f"The param {key!r} has {len(text)} characters, of which the first {MAX_PARAM_VALUE - len(_CUT)} "
                    "are logged."
                )
                text = text[: MAX_PARAM_VALUE - len(_CUT)] + _CUT
            texts[key] = text
    return texts


def tags_of(estimator: Any) -> dict[str, str]:
    """What kind of estimator it is."""
    kind = type(estimator)
    return {"estimator_name": kind.__name__, "estimator_class": f"{kind.__module__}.{kind.__name__}"}
