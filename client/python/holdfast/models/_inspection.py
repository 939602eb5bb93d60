"""Tells what is in a package, and what loading it would run, without loading it."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from holdfast.errors import HoldfastError, InvalidArgumentError, NotFoundError
from holdfast.models._declared import declared_object, foreign_loader, is_archive, looks_like_pickle
from holdfast.models._digest import FileDigest
from holdfast.models._environment import REQUIREMENTS_FILE
from holdfast.models._files import CODE_DIRECTORY, check_model_uri, is_remote
from holdfast.models._mlmodel import FILE_NAME, MLmodel
from holdfast.models._pickle_content import Global, PickleContent
from holdfast.models._pickle_modules import types_in_skops
from holdfast.models._pickle_risks import carried_code, suspicions
from holdfast.models._pickle_scan import scan_pickle
from holdfast.models._reader import Package, open_package
from holdfast.models._sources import LocalFiles, check_inside

__all__ = ["InspectedFile", "ModelInspection", "SerializedObject", "inspect_model"]

_MAX_REQUIREMENTS = 1 << 20
_PROTOCOLS = (b"\x02", b"\x03", b"\x04", b"\x05")
_PICKLE_ENDINGS = (".pkl", ".pickle", ".pck", ".p", ".joblib", ".dill")


@dataclass(frozen=True)
class InspectedFile:
    """One file of a package.

    Attributes:
        path: Path below the package.
        size: Bytes.
        digest: SHA-256 as Holdfast defines it, 64 hex digits, of the content as it is.
        state: ``"ok"`` when MLmodel has the same digest, ``"differs"``, ``"unlisted"`` when MLmodel has digests and
            none of this file, ``"missing"`` when MLmodel lists it and it is not there, and ``""`` without digests.
    """

    path: str
    size: int
    digest: str
    state: str


@dataclass(frozen=True)
class SerializedObject:
    """A pickle or skops archive in a package.

    Attributes:
        path: Path below the package.
        format: ``"pickle"`` or ``"skops"``: what it is, not what it is declared to be.
        imports: What loading it would import, as ``module.name``, in order of appearance.
        calls: Those of them that it would call.
        suspicious: Names, and what cannot be followed, each with the reason why it deserves a look.
        carries_code: It holds functions or classes with their code, whose insides no list of names tells.
        untrusted_types: Of a skops archive, the types that skops loads only when they are named; None when skops is
            not installed.
    """

    path: str
    format: str
    imports: list[str]
    calls: list[str]
    suspicious: dict[str, str]
    carries_code: bool = False
    untrusted_types: list[str] | None = None


@dataclass(frozen=True)
class ModelInspection:
    """What is in a package.

    Attributes:
        uri: What was looked at.
        flavors: How to load it, by flavor, as MLmodel says.
        signature: What it takes and gives, in its JSON form; None without one.
        requirements: Lines of ``requirements.txt``.
        files: All its files.
        objects: The pickles and skops archives among them.
        code: Files that it brings to import or run.
        problems: What is wrong with it, in words.
        origin: Who made it and when, as far as that is known: ``run_id``, ``model_id``, ``created`` (UTC), and from a
            server ``principal``, ``user``, ``version`` and ``registered_by``.
    """

    uri: str
    flavors: dict[str, Any]
    signature: dict[str, str | None] | None
    requirements: list[str]
    files: list[InspectedFile]
    objects: list[SerializedObject]
    code: list[str]
    problems: list[str]
    origin: dict[str, str] = field(default_factory=dict)

    @property
    def is_suspicious(self) -> bool:
        """Whether anything deserves a look before the model is loaded."""
        return bool(self.problems) or any(item.suspicious for item in self.objects)

    def to_dictionary(self) -> dict[str, Any]:
        """Everything as plain data."""
        return {**dataclasses.asdict(self), "suspicious": self.is_suspicious}


def inspect_model(model_uri: str | os.PathLike[str]) -> ModelInspection:
    """Look into the package at ``model_uri``; nothing of it is loaded or imported.

    Files of a server are downloaded to a temporary directory, so that large ones take no memory.

    Args:
        model_uri: A local directory or any artifact URI, such as ``models:/<name>/<version>``.

    Raises:
        NotFoundError: There is no model.
        InvalidArgumentError: Its MLmodel is malformed, or ``model_uri`` is no text.
    """
    uri = os.fspath(check_model_uri(model_uri))
    with contextlib.ExitStack() as stack:
        copy = stack.enter_context(tempfile.TemporaryDirectory(prefix="holdfast-model-")) if is_remote(uri) else None
        package = stack.enter_context(open_package(uri, copy))
        assert isinstance(package.files, LocalFiles)
        return _inspect(uri, package, package.files, _server_origin(uri) if copy else {})


def _inspect(uri: str, package: Package, files: LocalFiles, origin: Mapping[str, str]) -> ModelInspection:
    model = package.mlmodel
    names = list(files.names())
    described = {name: files.describe(name) for name in names}
    listed = [_file(name, described.get(name), model) for name in sorted({*names, *(model.digests or ())})]
    problems = [f"{file.path}: {_STATES[file.state]}" for file in listed if file.state in _STATES]
    declared = dict(_declared(model, problems))
    objects = []
    for name in names:
        head = _head(files.path(name))
        if name in declared or name.endswith(_PICKLE_ENDINGS) or _is_newer_pickle(head):
            found = _object(files.path(name), name, head)
            objects.append(found)
            if declared.get(name, found.format) != found.format:
                problems.append(f"{name}: declared as {declared[name]}, and looks like {found.format}")
    problems += [f"{name}: named by a flavor, and not in the package" for name in declared if name not in described]
    if (loader := foreign_loader(model.flavors)) is not None:
        problems.append(f"loader_module: {loader} would be imported to load the model, and run as it likes")
    known = {"run_id": model.run_id, "model_id": model.model_id, "created": model.utc_time_created}
    return ModelInspection(
        uri=uri,
        flavors=model.flavors,
        signature=model.signature.to_dict() if model.signature else None,
        requirements=_requirements(files, described, problems),
        files=listed,
        objects=objects,
        code=[name for name in names if name.startswith(_code_directories(model)) or name in _run_files(model)],
        problems=problems,
        origin={**{key: value for key, value in known.items() if value}, **origin},
    )


_STATES = {
    "differs": "is not the file that was saved with this model",
    "unlisted": "was not saved with this model",
    "missing": "was saved with this model, and is not there",
}


def _file(name: str, found: FileDigest | None, model: MLmodel) -> InspectedFile:
    expected = (model.digests or {}).get(name)
    if found is None:
        assert expected is not None
        return InspectedFile(name, expected.size, expected.digest, "missing")
    if model.digests is None or name == FILE_NAME:
        state = ""
    elif expected is None:
        state = "unlisted"
    else:
        state = "ok" if expected == found else "differs"
    return InspectedFile(name, found.size, found.digest, state)


def _declared(model: MLmodel, problems: list[str]) -> Iterator[tuple[str, str]]:
    """Files that flavors name as serialized objects, and the format that they are declared to have."""
    for flavor, config in model.flavors.items():
        declared = declared_object(flavor, config)
        if declared is None:
            continue
        try:
            path = check_inside(declared.path)
        except InvalidArgumentError as error:
            problems.append(f"{flavor}: {error}")
        else:
            yield path, "skops" if declared.format == "skops" else "pickle"


def _code_directories(model: MLmodel) -> tuple[str, ...]:
    found = {CODE_DIRECTORY}
    for config in model.flavors.values():
        with contextlib.suppress(InvalidArgumentError):
            found.add(check_inside(config.get("code")))
    return tuple(f"{name}/" for name in found)


def _run_files(model: MLmodel) -> set[str]:
    """Files of code that are run when the model is loaded; MLflow writes where they were when it was saved."""
    paths = [config.get("model_code_path") for config in model.flavors.values()]
    return {re.split(r"[/\\]", path)[-1] for path in paths if isinstance(path, str)}


def _head(file: Path) -> bytes:
    with file.open("rb") as stream:
        return stream.read(4)


def _is_newer_pickle(head: bytes) -> bool:
    """Whether a file of any name begins as pickles do since protocol 2, with its number."""
    return looks_like_pickle(head) and head[1:2] in _PROTOCOLS


def _object(file: Path, name: str, head: bytes) -> SerializedObject:
    if is_archive(head):
        return _skops(file, name)
    content = scan_pickle(file)
    found = suspicions(content)
    if content.size < file.stat().st_size:
        found[f"{file.stat().st_size - content.size:,} bytes behind its end"] = "loading the pickle does not read them"
    return SerializedObject(
        path=name,
        format="pickle",
        imports=[str(item) for item in content.globals] + list(content.modules),
        calls=[str(item) for item in content.called],
        suspicious=found,
        carries_code=carried_code(content),
    )


def _skops(file: Path, name: str) -> SerializedObject:
    try:
        types = types_in_skops(file)
    except (InvalidArgumentError, OSError, zipfile.BadZipFile) as error:
        return SerializedObject(name, "skops", [], [], {str(error): "cannot be read"})
    content = PickleContent(globals=dict.fromkeys(Global(*item) for item in types))
    untrusted: list[str] | None = None
    with contextlib.suppress(ImportError):
        import skops.io

        try:
            untrusted = sorted(skops.io.get_untrusted_types(file=file))
        except Exception as error:  # noqa: BLE001 - whatever an odd archive makes of it
            return SerializedObject(name, "skops", [], [], {f"{type(error).__name__}: {error}": "skops cannot read it"})
    imports = [str(item) for item in content.globals]
    return SerializedObject(name, "skops", imports, [], suspicions(content), untrusted_types=untrusted)


def _requirements(files: LocalFiles, described: Mapping[str, FileDigest], problems: list[str]) -> list[str]:
    if REQUIREMENTS_FILE not in described:
        return []
    if described[REQUIREMENTS_FILE].size > _MAX_REQUIREMENTS:
        problems.append(f"{REQUIREMENTS_FILE}: has more than {_MAX_REQUIREMENTS} bytes")
        return []
    try:
        text = files.read(REQUIREMENTS_FILE).decode("utf-8")
    except UnicodeDecodeError:
        problems.append(f"{REQUIREMENTS_FILE}: is not UTF-8")
        return []
    return [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def _server_origin(uri: str) -> dict[str, str]:
    """Who and when, as the server has it."""
    from holdfast import fluent

    client = fluent.current_client()
    resolved = client.artifacts.resolve_origin(uri)
    found = {"principal": resolved.principal}
    owner = resolved.locations[0].owner
    run_id = owner.run_id
    with contextlib.suppress(NotFoundError):
        if resolved.HasField("version"):
            version = client.get_model_version(resolved.version.name, resolved.version.version)
            found |= {"version": f"{version.name}/{version.version}", "registered_by": version.user_id or ""}
        if owner.model_id:
            run_id = client.get_logged_model(owner.model_id).source_run_id or ""
    with contextlib.suppress(HoldfastError):
        if run_id:
            found["user"] = client.get_run(run_id).info.user_id or ""
    return {key: value for key, value in found.items() if value}
