"""Datasets and their uses by runs, as users see them and as they travel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from holdfast._calls import build
from holdfast._checks import check_value
from holdfast.entities import Dataset, DatasetInput, InputTag
from holdfast.errors import InvalidArgumentError
from holdfast.v1 import experiment_pb2, run_pb2

_CONTEXT_TAG = "mlflow.data.context"


def dataset_input_from_proto(proto: run_pb2.DatasetInput) -> DatasetInput:
    """A dataset's use as users see it."""
    dataset = proto.dataset
    return DatasetInput(
        dataset=Dataset(
            name=dataset.name,
            digest=dataset.digest,
            source_type=dataset.source_type,
            source=dataset.source,
            schema=dataset.schema or None,
            profile=dataset.profile or None,
        ),
        tags=[InputTag(tag.key, tag.value) for tag in proto.tags],
    )


def dataset_input_to_proto(value: DatasetInput) -> run_pb2.DatasetInput:
    """A dataset's use as it travels."""
    dataset = value.dataset
    return run_pb2.DatasetInput(
        dataset=build(
            run_pb2.Dataset,
            name=dataset.name,
            digest=dataset.digest,
            source_type=dataset.source_type,
            source=dataset.source,
            schema=dataset.schema or "",
            profile=dataset.profile or "",
        ),
        tags=[
            build(experiment_pb2.Tag, key=tag.key, value=check_value(tag.key, tag.value, "tag")) for tag in value.tags
        ],
    )


def dataset_from_any(value: Any) -> Dataset:
    """Our dataset of an MLflow-like one, which describes itself by ``to_dict()``.

    Raises:
        InvalidArgumentError: It does not.
    """
    if isinstance(value, Dataset):
        return value
    describe = getattr(value, "to_dict", None)
    described = describe() if callable(describe) else value
    if not isinstance(described, dict) or not {"name", "digest", "source_type", "source"} <= described.keys():
        raise InvalidArgumentError(
            f"A dataset is a holdfast.entities.Dataset, or has to_dict() with name, digest, source_type and source; "
            f"{type(value).__name__} is neither."
        )
    return Dataset(
        name=described["name"],
        digest=described["digest"],
        source_type=described["source_type"],
        source=described["source"],
        schema=described.get("schema"),
        profile=described.get("profile"),
    )


def dataset_inputs(
    datasets: Sequence[Any] | None,
    contexts: Sequence[str | None] | None,
    tags_list: Sequence[Mapping[str, Any] | None] | None,
) -> list[DatasetInput]:
    """Uses of datasets, each with its context and labels.

    Raises:
        InvalidArgumentError: The lists differ in length, or something in them is no dataset.
    """
    datasets = datasets or []
    contexts = contexts if contexts is not None else [None] * len(datasets)
    tags_list = tags_list if tags_list is not None else [None] * len(datasets)
    if not len(datasets) == len(contexts) == len(tags_list):
        raise InvalidArgumentError("log_inputs takes one context and one dict of tags for each dataset, or none.")
    inputs = []
    for dataset, context, tags in zip(datasets, contexts, tags_list, strict=True):
        labels = {**(tags or {}), **({_CONTEXT_TAG: context} if context else {})}
        inputs.append(
            DatasetInput(dataset_from_any(dataset), [InputTag(key, str(item)) for key, item in labels.items()])
        )
    return inputs


def dataset_key(dataset: Any) -> tuple[str | None, str | None]:
    """Name and digest of a dataset that a metric was measured on."""
    if dataset is None:
        return None, None
    described = dataset_from_any(dataset)
    return described.name, described.digest
