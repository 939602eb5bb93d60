"""Describes data as MLflow does, so that the same data has the same digest whoever logged it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable
from typing import Any

from holdfast._context import context_tags
from holdfast.entities import Dataset
from holdfast.models._inference import infer_schema
from holdfast.models._libraries import is_dataframe, is_ndarray, is_sparse

# Cells (of arrays) or rows (of frames) that go into a digest.
_DIGEST_LIMIT = 10_000
_DIGEST_LENGTH = 8


def describe(samples: Any, targets: Any = None) -> Dataset | None:
    """Name, digest, schema and profile of data; None for what is neither array, frame nor sparse matrix.

    A description takes a small part of the memory that the data does, and the digest looks at its beginning only.
    """
    if is_dataframe(samples):
        digest, schema, profile = _frame(samples)
    elif is_ndarray(samples) or is_sparse(samples):
        digest, schema, profile = _arrays(samples, targets)
    else:
        return None
    return Dataset(
        name="dataset",
        digest=digest,
        source_type="code",
        source=json.dumps({"tags": context_tags()}),
        schema=json.dumps(schema),
        profile=json.dumps(profile),
    )


def name_and_digest(dataset: Dataset | None) -> tuple[str | None, str | None]:
    """By which a metric names the data that it was measured on."""
    return (None, None) if dataset is None else (dataset.name, dataset.digest)


def _frame(frame: Any) -> tuple[str, dict[str, Any], dict[str, int]]:
    import numpy as np
    import pandas as pd

    head = frame.head(_DIGEST_LIMIT)
    of_types = head.map(type) if hasattr(head, "map") else head.applymap(type)
    texts = head.columns[of_types.eq(str).all(axis=0)]
    columns = texts.union(head.select_dtypes(include=[np.number]).columns)
    hashes = np.asarray(pd.util.hash_pandas_object(head[columns]))
    digest = _digest([hashes, np.int64(len(frame)), *(str(column).encode() for column in frame.columns)])
    profile = {"num_rows": len(frame), "num_elements": int(frame.size)}
    return digest, {"mlflow_colspec": infer_schema(frame).to_dict()}, profile


def _arrays(samples: Any, targets: Any) -> tuple[str, dict[str, Any], dict[str, Any]]:
    import numpy as np

    parts = {"features": samples}
    if targets is not None:
        parts["targets"] = targets if is_sparse(targets) else np.asarray(targets)
    hashed: list[Any] = []
    profile: dict[str, Any] = {}
    for name, part in parts.items():
        size = math.prod(part.shape)
        hashed += [_hash(_first_cells(part)), *(np.int64(length) for length in part.shape)]
        profile |= {
            f"{name}_shape": list(part.shape),
            f"{name}_size": size,
            f"{name}_nbytes": size * part.dtype.itemsize,
        }
    schemas = {name: infer_schema(_without_gaps(part)).to_json() for name, part in parts.items()}
    return (
        _digest(hashed),
        {"mlflow_tensorspec": {"features": schemas["features"], "targets": schemas.get("targets")}},
        profile,
    )


def _first_cells(part: Any) -> Any:
    """The cells that go into the digest, in order; of a sparse matrix only so many rows are written out."""
    if is_sparse(part):
        rows = -(-_DIGEST_LIMIT // max(part.shape[-1], 1))
        part = part.tocsr()[:rows].toarray()
    return part.reshape(-1)[:_DIGEST_LIMIT].copy() if part.flags.c_contiguous else part.flatten()[:_DIGEST_LIMIT]


def _without_gaps(part: Any) -> Any:
    # A sparse matrix is described as the array that it stands for; a schema needs no rows.
    return part.tocsr()[:1].toarray() if is_sparse(part) else part


def _hash(cells: Any) -> Any:
    import numpy as np

    try:
        import pandas as pd
    except ImportError:
        # MLflow cannot do without; this is at least the same for the same data.
        return cells.tobytes() if cells.dtype != object else repr(cells.tolist()).encode()
    try:
        return np.asarray(pd.util.hash_array(cells))
    except TypeError:
        return np.int64(cells.size)


def _digest(elements: Iterable[Any]) -> str:
    md5 = hashlib.md5(usedforsecurity=False)
    for element in elements:
        md5.update(element)
    return md5.hexdigest()[:_DIGEST_LENGTH]
