"""The MLmodel file: what a package is, in MLflow's format plus a ``holdfast`` block of digests."""

from __future__ import annotations

import datetime as dt
import functools
import re
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from holdfast.errors import InvalidArgumentError, NotFoundError
from holdfast.models._digest import FileDigest
from holdfast.models._yaml import MAX_BYTES, dump_yaml, load_yaml
from holdfast.models.schema import Schema
from holdfast.models.signature import ModelSignature

__all__ = ["FILE_NAME", "FORMAT_VERSION", "MAX_BYTES", "FileDigest", "MLmodel"]

FILE_NAME = "MLmodel"

FORMAT_VERSION = "3.17.2"
"""The MLflow release whose package format is followed."""


NEWEST_FORMAT = 3
"""The newest major release of MLflow whose packages are read."""


def _now() -> str:
    return str(dt.datetime.now(dt.timezone.utc).replace(tzinfo=None))


@functools.cache
def _holdfast_version() -> str:
    from importlib import metadata

    try:
        return metadata.version("holdfast")
    except metadata.PackageNotFoundError:  # run from a source tree
        return "0+source"


@dataclass
class MLmodel:
    """The content of an MLmodel file.

    Attributes:
        flavors: How to load the model, by the name of the flavor.
        digests: Size and digest of every other file, by path; None in packages that MLflow wrote.
        unknown: Keys that this version does not interpret, kept as they were read.
    """

    artifact_path: str | None = None
    run_id: str | None = None
    model_id: str | None = None
    model_uuid: str | None = field(default_factory=lambda: uuid.uuid4().hex)
    utc_time_created: str = field(default_factory=_now)
    flavors: dict[str, dict[str, Any]] = field(default_factory=dict)
    signature: ModelSignature | None = None
    saved_input_example_info: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    model_size_bytes: int | None = None
    mlflow_version: str | None = FORMAT_VERSION
    holdfast_version: str | None = field(default_factory=_holdfast_version)
    digests: dict[str, FileDigest] | None = None
    unknown: dict[str, Any] = field(default_factory=dict)

    def get_input_schema(self) -> Schema | None:
        """Return the schema of the inputs, if the model has a signature."""
        return self.signature.inputs if self.signature else None

    def get_output_schema(self) -> Schema | None:
        """Return the schema of the outputs, if the model has a signature."""
        return self.signature.outputs if self.signature else None

    def flavor(self, name: str) -> dict[str, Any]:
        """Return the configuration of the flavor ``name``.

        Raises:
            NotFoundError: The model was not saved with it.
        """
        try:
            return self.flavors[name]
        except KeyError:
            raise NotFoundError(f"The model has no flavor {name!r}; it has {sorted(self.flavors)}.") from None

    def to_dict(self) -> dict[str, Any]:
        """Return the content as plain data."""
        result: dict[str, Any] = {
            **self.unknown,
            "flavors": self.flavors,
            "model_id": self.model_id,
            "model_uuid": self.model_uuid,
            "utc_time_created": self.utc_time_created,
        }
        # MLflow leaves these out rather than writing null.
        for key in (
            "artifact_path",
            "run_id",
            "saved_input_example_info",
            "metadata",
            "model_size_bytes",
            "mlflow_version",
            "holdfast_version",
        ):
            if (value := getattr(self, key)) is not None:
                result[key] = value
        if self.signature is not None:
            result["signature"] = self.signature.to_dict()
            result.setdefault("is_signature_from_type_hint", False)
            result.setdefault("type_hint_from_example", False)
        if self.digests is not None:
            files = {path: {"digest": item.digest, "size": item.size} for path, item in self.digests.items()}
            result["holdfast"] = {"files": files}
        return result

    def to_yaml(self) -> str:
        """Return the content as YAML, keys sorted.

        Raises:
            InvalidArgumentError: The metadata holds something other than plain data.
        """
        return dump_yaml(self.to_dict())

    def save(self, directory: Path) -> None:
        """Write the file MLmodel into ``directory``."""
        (directory / FILE_NAME).write_bytes(self.to_yaml().encode())

    @classmethod
    def load(cls, path: str | Path) -> MLmodel:
        """Read the file at ``path``, or the one in the directory ``path``.

        Raises:
            NotFoundError: There is none, so this is no model.
            InvalidArgumentError: It is malformed.
        """
        path = Path(path)
        path = path / FILE_NAME if path.is_dir() else path
        try:
            if path.stat().st_size > MAX_BYTES:
                raise InvalidArgumentError(f"{path} has {path.stat().st_size} bytes; at most {MAX_BYTES} are read.")
            data = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            raise NotFoundError(f"{path} does not exist, so {path.parent} holds no model.") from None
        return cls.parse(data)

    @classmethod
    def parse(cls, data: bytes | bytearray) -> MLmodel:
        """Interpret the content of an MLmodel file.

        Raises:
            InvalidArgumentError: It is malformed, or in a format that this version does not know.
        """
        return cls.from_dict(load_yaml(data, FILE_NAME))

    @classmethod
    def from_dict(cls, content: Any) -> MLmodel:
        """Interpret what `to_dict` wrote, or MLflow's own.

        Raises:
            InvalidArgumentError: A key has another type than the format says.
        """
        if not isinstance(content, dict):
            raise InvalidArgumentError(f"MLmodel must hold a mapping, not {type(content).__name__}.")
        rest = dict(content)
        known: dict[str, Any] = {}
        for key, kinds in _KINDS.items():
            value = rest.pop(key, None)
            if value is not None and not isinstance(value, kinds):
                raise InvalidArgumentError(f"{key} in MLmodel must not be {type(value).__name__}.")
            known[key] = value
        if not all(isinstance(conf, dict) for conf in (known["flavors"] or {}).values()):
            raise InvalidArgumentError("Each flavor in MLmodel must be a mapping.")
        _check_version(known["mlflow_version"])
        signature, holdfast = known.pop("signature"), known.pop("holdfast")
        known["flavors"] = known["flavors"] or {}
        known["utc_time_created"] = str(known["utc_time_created"] or "")
        return cls(
            **known,
            signature=ModelSignature.from_dict(signature) if signature and any(signature.values()) else None,
            digests=None if holdfast is None else _digests_from_dict(holdfast),
            unknown=rest,
        )


_KINDS: dict[str, type | tuple[type, ...]] = {
    "artifact_path": str,
    "run_id": str,
    "model_id": str,
    "model_uuid": str,
    "utc_time_created": (str, dt.datetime),
    "flavors": dict,
    "signature": dict,
    "saved_input_example_info": dict,
    "metadata": dict,
    "model_size_bytes": int,
    "mlflow_version": str,
    "holdfast_version": str,
    "holdfast": dict,
}


def _check_version(version: str | None) -> None:
    """Refuse packages of a format of the future, whose keys may mean something else than they do now."""
    major = None if version is None else re.match(r"(\d{1,9})(\.|$)", version)
    if version is not None and (major is None or int(major[1]) > NEWEST_FORMAT):
        raise InvalidArgumentError(
            f"The package is in the format of MLflow {version!r}; this version of Holdfast reads those of MLflow 1 to "
            f"{NEWEST_FORMAT}. Install a newer Holdfast."
        )


def _digests_from_dict(block: dict[str, Any]) -> dict[str, FileDigest]:
    files = block.get("files")
    if not isinstance(files, dict):
        raise InvalidArgumentError("The holdfast block of MLmodel must have a mapping named files.")
    digests = {}
    for path, item in files.items():
        size, digest = (item.get("size"), item.get("digest")) if isinstance(item, dict) else (None, None)
        if not isinstance(path, str) or not isinstance(size, int) or not isinstance(digest, str):
            raise InvalidArgumentError(f"The holdfast block of MLmodel must have size and digest of {path!r}.")
        digests[path] = FileDigest(size, digest)
    return digests
