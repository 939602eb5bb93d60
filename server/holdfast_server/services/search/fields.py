"""What each search can look at: its attributes with their types, and what comes with keys of its own."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from holdfast_server.services.search.query import Kind, OrderTerm


class Type(enum.Enum):
    """What an attribute is compared with."""

    TEXT = "a text in quotes"
    NUMBER = "a number"


@dataclass(frozen=True, slots=True)
class Fields:
    """The names of one search.

    Attributes:
        attributes: Names with types, in the order in which errors list them.
        aliases: Other spellings of attributes.
        kinds: What has keys of its own.
        default_order: Completes every ordering, so that it is total.
        has_metric_datasets: Whether metrics are told apart by the datasets they were measured on.
    """

    attributes: Mapping[str, Type]
    kinds: frozenset[Kind]
    default_order: tuple[OrderTerm, ...]
    aliases: Mapping[str, str] = field(default_factory=dict)
    has_metric_datasets: bool = False

    def attribute(self, name: str) -> str | None:
        """The attribute of this name or spelling; None when there is none."""
        name = self.aliases.get(name, name)
        return name if name in self.attributes else None


DATASET_KEYS = ("name", "digest", "context")

RUNS = Fields(
    attributes={
        "run_id": Type.TEXT,
        "run_name": Type.TEXT,
        "status": Type.TEXT,
        "user_id": Type.TEXT,
        "experiment_id": Type.TEXT,
        "lifecycle_stage": Type.TEXT,
        "start_time": Type.NUMBER,
        "end_time": Type.NUMBER,
        "lost": Type.TEXT,
    },
    aliases={
        "Run name": "run_name",
        "Run Name": "run_name",
        "run name": "run_name",
        "Created": "start_time",
        "created": "start_time",
    },
    kinds=frozenset({Kind.METRIC, Kind.PARAM, Kind.TAG, Kind.DATASET}),
    default_order=(
        OrderTerm(Kind.ATTRIBUTE, "start_time", descending=True),
        OrderTerm(Kind.ATTRIBUTE, "run_id"),
    ),
)
EXPERIMENTS = Fields(
    attributes={
        "name": Type.TEXT,
        "experiment_id": Type.TEXT,
        "lifecycle_stage": Type.TEXT,
        "creation_time": Type.NUMBER,
        "last_update_time": Type.NUMBER,
    },
    kinds=frozenset({Kind.TAG}),
    default_order=(
        OrderTerm(Kind.ATTRIBUTE, "creation_time", descending=True),
        OrderTerm(Kind.ATTRIBUTE, "experiment_id"),
    ),
)
LOGGED_MODELS = Fields(
    attributes={
        "name": Type.TEXT,
        "model_id": Type.TEXT,
        "model_type": Type.TEXT,
        "status": Type.TEXT,
        "source_run_id": Type.TEXT,
        "experiment_id": Type.TEXT,
        "lifecycle_stage": Type.TEXT,
        "creation_timestamp": Type.NUMBER,
        "last_updated_timestamp": Type.NUMBER,
    },
    aliases={
        "creation_time": "creation_timestamp",
        "creation_timestamp_ms": "creation_timestamp",
        "last_updated_time": "last_updated_timestamp",
        "last_updated_timestamp_ms": "last_updated_timestamp",
    },
    kinds=frozenset({Kind.METRIC, Kind.PARAM, Kind.TAG}),
    has_metric_datasets=True,
    default_order=(
        OrderTerm(Kind.ATTRIBUTE, "creation_timestamp", descending=True),
        OrderTerm(Kind.ATTRIBUTE, "model_id"),
    ),
)
REGISTERED_MODELS = Fields(
    attributes={"name": Type.TEXT, "creation_timestamp": Type.NUMBER, "last_updated_timestamp": Type.NUMBER},
    aliases={"timestamp": "last_updated_timestamp"},
    kinds=frozenset({Kind.TAG}),
    default_order=(OrderTerm(Kind.ATTRIBUTE, "name"),),
)
MODEL_VERSIONS = Fields(
    attributes={
        "name": Type.TEXT,
        "version_number": Type.NUMBER,
        "run_id": Type.TEXT,
        "model_id": Type.TEXT,
        "source_path": Type.TEXT,
        "stage": Type.TEXT,
        "status": Type.TEXT,
        "user_id": Type.TEXT,
        "creation_timestamp": Type.NUMBER,
        "last_updated_timestamp": Type.NUMBER,
    },
    aliases={"version": "version_number", "current_stage": "stage"},
    kinds=frozenset({Kind.TAG}),
    default_order=(
        OrderTerm(Kind.ATTRIBUTE, "creation_timestamp", descending=True),
        OrderTerm(Kind.ATTRIBUTE, "name"),
        OrderTerm(Kind.ATTRIBUTE, "version_number", descending=True),
    ),
)
