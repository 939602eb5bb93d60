"""What ``autolog`` was told."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from holdfast._names import check_registered_model_name
from holdfast.errors import InvalidArgumentError

SERIALIZATION_FORMATS = ("cloudpickle", "pickle", "skops")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What is logged of trainings; the arguments of ``holdfast.sklearn.autolog``, which describes them."""

    log_input_examples: bool = False
    log_model_signatures: bool = True
    log_models: bool = True
    log_datasets: bool = True
    exclusive: bool = False
    silent: bool = False
    max_tuning_runs: int | None = 5
    log_post_training_metrics: bool = True
    serialization_format: str = "cloudpickle"
    registered_model_name: str | None = None
    pos_label: Any = None
    extra_tags: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check.

        Raises:
            InvalidArgumentError: One of them breaks a rule.
        """
        if self.max_tuning_runs is not None and _whole(self.max_tuning_runs) < 0:
            raise InvalidArgumentError(
                f"max_tuning_runs is a whole number from 0, or None for all; not {self.max_tuning_runs!r}."
            )
        if self.serialization_format not in SERIALIZATION_FORMATS:
            raise InvalidArgumentError(
                f"Unknown serialization_format {self.serialization_format!r}; "
                f"use one of {', '.join(SERIALIZATION_FORMATS)}."
            )
        if self.registered_model_name is not None:
            check_registered_model_name(self.registered_model_name)
        if not isinstance(self.extra_tags, Mapping):
            raise InvalidArgumentError(f"extra_tags must be a dictionary, not {type(self.extra_tags).__name__}.")


def _whole(value: Any) -> int:
    try:
        return -1 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        return -1
