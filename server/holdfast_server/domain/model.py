"""Logged models: models that runs or users logged, each with its own artifact tree."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from holdfast_server.domain.experiment import Lifecycle, Tag
from holdfast_server.domain.run import Metric, Param

MAX_STATUS_MESSAGE = 5_000
MAX_MODEL_TYPE = 500


class ModelStatus(str, enum.Enum):
    """Where a logged model stands; READY and FAILED are final."""

    PENDING = "PENDING"
    READY = "READY"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class ModelRegistration:
    """A version of a registered model that was made of a logged model."""

    name: str
    version: int


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A logged model without its params, tags and metrics. Times are milliseconds since 1970.

    ``principal`` is who logged it, empty without authentication.
    """

    number: int
    id: str
    experiment_id: int
    name: str
    source_run_id: str
    model_type: str
    status: ModelStatus
    status_message: str
    lifecycle: Lifecycle
    create_time: int
    update_time: int
    principal: str = ""

    @property
    def is_active(self) -> bool:
        """Whether it is not deleted."""
        return self.lifecycle is Lifecycle.ACTIVE


@dataclass(frozen=True, slots=True)
class ModelData:
    """Params, tags and newest metrics (by key and dataset) of a logged model, or a page of them."""

    params: tuple[Param, ...] = ()
    tags: tuple[Tag, ...] = ()
    metrics: tuple[Metric, ...] = ()
    registrations: tuple[ModelRegistration, ...] = ()
