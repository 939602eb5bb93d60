"""What a search asks for, parsed, and what it finds."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Generic, TypeVar

from holdfast_server.domain.access import Viewer
from holdfast_server.domain.experiment import ViewType

T = TypeVar("T")
Scalar = str | int | float
# The values of an item's order keys; says where in an ordering it stands.
Position = tuple[Scalar, ...]


class Kind(enum.Enum):
    """What a condition or an order key looks at."""

    ATTRIBUTE = "attribute"
    METRIC = "metric"
    PARAM = "param"
    TAG = "tag"
    DATASET = "dataset"


class Operator(enum.Enum):
    """Comparisons of the filter grammar."""

    EQ = "="
    NE = "!="
    LT = "<"
    LE = "<="
    GT = ">"
    GE = ">="
    LIKE = "LIKE"
    ILIKE = "ILIKE"
    IN = "IN"
    NOT_IN = "NOT IN"
    IS_NULL = "IS NULL"
    IS_NOT_NULL = "IS NOT NULL"


@dataclass(frozen=True, slots=True)
class Condition:
    """One comparison. ``values``: none for IS [NOT] NULL, several for [NOT] IN, else one."""

    kind: Kind
    key: str
    operator: Operator
    values: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class DatasetName:
    """A dataset that metrics were measured on; ``digest`` empty: any of this name."""

    name: str
    digest: str = ""


@dataclass(frozen=True, slots=True)
class OrderTerm:
    """One key to order by. ``dataset``: of a metric, the dataset whose points count; None for all."""

    kind: Kind
    key: str
    descending: bool = False
    dataset: DatasetName | None = None


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """Conditions joined by AND, and a total order.

    ``experiment_ids`` empty: any; ``active_experiments``: those that are not deleted. ``source_run_id`` empty: any.
    ``datasets``: conditions on metrics are about these; without such conditions, what was measured on one of them.
    ``visible_to``: only what that one may read; None for everything.
    """

    conditions: tuple[Condition, ...] = ()
    order: tuple[OrderTerm, ...] = ()
    view: ViewType = ViewType.ALL
    experiment_ids: tuple[int, ...] = ()
    source_run_id: str = ""
    active_experiments: bool = False
    datasets: tuple[DatasetName, ...] = ()
    visible_to: Viewer | None = None


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """An item with its place in the ordering."""

    item: T
    position: Position
