"""Keeps what is answered in one message small enough for one message.

Runs and logged models are paged; experiments, registered models and versions are not, so what they hold is bounded.
"""

from __future__ import annotations

from collections.abc import Iterable

from holdfast_server.domain.experiment import Experiment, Tag
from holdfast_server.domain.names import shown
from holdfast_server.domain.registry import ModelVersion, RegisteredModel
from holdfast_server.errors import InvalidArgument, Reason

MAX_EXPERIMENT_BYTES = 2 << 20
# An answer about a registered model holds the newest version of each of four stages as well.
MAX_REGISTRY_BYTES = 480 << 10
MAX_ALIASES = 500


def check_experiment_size(experiment: Experiment) -> None:
    """Refuse an experiment whose tags have become too large together."""
    _check(f"The tags of experiment {experiment.id}", experiment.tags, 0, MAX_EXPERIMENT_BYTES)


def check_registered_model_size(model: RegisteredModel) -> None:
    """Refuse a registered model whose texts have become too large together."""
    what = f"Description and tags of registered model {shown(model.name)}"
    _check(what, model.tags, len(model.description.encode()), MAX_REGISTRY_BYTES)


def check_alias_count(name: str, count: int) -> None:
    """Refuse a registered model that has come to have too many aliases."""
    if count > MAX_ALIASES:
        raise InvalidArgument(
            f"Registered model {shown(name)} has {MAX_ALIASES} aliases, which is the limit. Delete one first.",
            reason=Reason.LIMIT_EXCEEDED,
            metadata={"limit": str(MAX_ALIASES)},
        )


def check_version_size(version: ModelVersion) -> None:
    """Refuse a version whose texts have become too large together."""
    what = f"Description and tags of version {version.version} of {shown(version.name)}"
    _check(what, version.tags, len(version.description.encode()), MAX_REGISTRY_BYTES)


def _check(what: str, tags: Iterable[Tag], size: int, limit: int) -> None:
    size += sum(len(tag.key.encode()) + len(tag.value.encode()) + 16 for tag in tags)
    if size > limit:
        raise InvalidArgument(
            f"{what} would be {size} bytes together; the limit is {limit}. Keep long texts as artifacts.",
            reason=Reason.LIMIT_EXCEEDED,
            field="tags",
            metadata={"limit": str(limit)},
        )
