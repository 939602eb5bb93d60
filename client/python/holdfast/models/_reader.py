"""Opens a package, wherever it is, and hands out bytes whose digest has been checked."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from holdfast.errors import DataLossError, InvalidArgumentError, NotFoundError
from holdfast.format.digests import bytes_digest
from holdfast.models._code import PackagedCode
from holdfast.models._files import check_model_uri, is_remote, local_path
from holdfast.models._mlmodel import FILE_NAME, MAX_BYTES, MLmodel
from holdfast.models._sources import LocalFiles, PackageFiles, check_inside
from holdfast.models._trust import Origin, Trust, check_type_names, judge
from holdfast.models._unpickle import StandIn, check_readable, load_object

__all__ = ["Package", "open_package"]

# Code of packages, by its content: a model loaded twice has the same classes. Functions in it keep it, so that it goes
# with the last of them, as in a server that follows an alias through many versions.
_codes: weakref.WeakValueDictionary[bytes, PackagedCode] = weakref.WeakValueDictionary()
_codes_lock = threading.Lock()


@dataclass(frozen=True)
class Package:
    """An open package.

    Attributes:
        files: Its files.
        mlmodel: The content of its MLmodel file.
        trust: Whether it may run what it holds.
        named_types: Types that the caller lets skops construct.
    """

    files: PackageFiles
    mlmodel: MLmodel
    trust: Trust
    named_types: Collection[str] = ()

    def read(self, path: Any) -> bytes | bytearray:
        """Return the content of the file at ``path`` inside the package, checked against MLmodel's digest.

        A package without digests (one that MLflow wrote) is read as the server has it, or as it is on disk.

        Raises:
            InvalidArgumentError: The path leads out of the package.
            NotFoundError: There is no such file.
            DataLossError: The content is not what was saved.
        """
        name = check_inside(path)
        data = self.files.read(name)
        self._compare(name, len(data), lambda: bytes_digest(data).hex())
        return data

    def check(self, path: Any) -> None:
        """Do nothing if the file at ``path`` is what was saved; one on disk is not read into memory at once.

        Raises:
            InvalidArgumentError: The path leads out of the package.
            NotFoundError: There is no such file.
            DataLossError: The content is not what was saved.
        """
        name = check_inside(path)
        if isinstance(self.files, LocalFiles):
            found = self.files.describe(name)
            self._compare(name, found.size, lambda: found.digest)
        else:
            self.read(name)

    def _compare(self, name: str, size: int, digest: Callable[[], str]) -> None:
        if (digests := self.mlmodel.digests) is None:
            return
        expected = digests.get(name)
        if expected is None:
            raise DataLossError(
                f"{name} is not among the files that {FILE_NAME} has digests of, so it was not saved with this "
                "model. Download the model again."
            )
        if size != expected.size or digest() != expected.digest:
            raise DataLossError(
                f"{name} is not the file that was saved with this model: its digest differs from the one in "
                f"{FILE_NAME}. Download the model again."
            )

    def load_object(
        self,
        path: Any,
        serialization_format: Any,
        *,
        code: Any = None,
        recorded_types: Iterable[str] | None = None,
        stand_in: StandIn | None = None,
    ) -> Any:
        """Load the object that the file at ``path`` holds.

        Args:
            path: Path inside the package.
            serialization_format: One of ``SERIALIZATION_FORMATS``.
            code: The directory inside the package with modules that the object needs, as the flavor's configuration
                names it; nothing when empty.
            recorded_types: Types that skops may construct, as the package says.
            stand_in: What stands for names of modules that are not installed.

        Raises:
            UntrustedModelError: It would run code of somebody who is not trusted.
            InvalidArgumentError: It does not load, or is not what it is declared to be.
            NotFoundError: There is no such file.
            DataLossError: A file is not the one that was saved.
        """
        modules = self.code(code) if code else None
        name = check_inside(path)
        check_readable(serialization_format, self.files.size(name), name=name, trust=self.trust)
        return load_object(
            self.read(name),
            serialization_format,
            name=str(path),
            trust=self.trust,
            named_types=self.named_types,
            recorded_types=[str(name) for name in recorded_types or ()],
            code=modules,
            stand_in=stand_in,
        )

    def code_files(self, directory: Any) -> dict[str, bytes]:
        """Return the contents of the files in ``directory`` of the package, to be imported, by path below it.

        Raises:
            UntrustedModelError: Importing them would run code of somebody who is not trusted.
            DataLossError: One is not the one that was saved.
        """
        base = check_inside(directory)
        names = [
            name
            for name in self.files.names()
            if name.startswith(f"{base}/") and "__pycache__" not in PurePosixPath(name).parts
        ]
        if not names:
            return {}
        self.trust.require(f"Importing {base}/ of the package")
        return {name[len(base) + 1 :]: bytes(self.read(name)) for name in names}

    def code(self, directory: Any) -> PackagedCode | None:
        """Return the modules in ``directory`` of the package; None when it has none.

        Raises:
            UntrustedModelError: Importing them would run code of somebody who is not trusted.
            DataLossError: One is not the one that was saved.
        """
        contents = self.code_files(directory)
        if not contents:
            return None
        key = bytes_digest(b"".join(f"{name}\0".encode() + bytes_digest(data) for name, data in contents.items()))
        with _codes_lock:
            code = _codes.get(key)
            if code is None:
                code = _codes[key] = PackagedCode(contents)
            return code


@contextlib.contextmanager
def open_package(
    model_uri: str | os.PathLike[str],
    dst_path: str | os.PathLike[str] | None = None,
    *,
    allow_pickle: bool | None = None,
    skops_trusted_types: Iterable[str] | None = None,
) -> Iterator[Package]:
    """Open the package at ``model_uri`` for the time of a ``with`` block.

    Args:
        model_uri: A local directory, a ``file:`` URI, or any URI that `download_artifacts` takes.
        dst_path: An existing directory for a copy, which stays; by default files are read as they are needed.
        allow_pickle: Whether to load what runs code: pickles, packaged code, and types that only the package trusts.
            None for what ``HOLDFAST_ALLOW_PICKLE`` says, or else the rule of `holdfast.models._trust.judge`.
        skops_trusted_types: Names of types that skops may construct.

    Raises:
        NotFoundError: There is no model.
        InvalidArgumentError: Its MLmodel is malformed, or an argument is.
        DataLossError: A version's files are not those that were registered.
    """
    from holdfast._config import allows_pickle

    check_model_uri(model_uri)
    named = check_type_names(skops_trusted_types)
    if allow_pickle is not None and not isinstance(allow_pickle, bool):
        raise InvalidArgumentError(f"allow_pickle must be True, False or None, not {allow_pickle!r:.80}.")
    if not is_remote(model_uri):
        directory = _local_directory(model_uri)
        if dst_path is not None:
            directory = Path(shutil.copytree(directory, dst_path, dirs_exist_ok=True))
        files: PackageFiles = LocalFiles(directory)
        origin = Origin(local=True)
        place = str(directory)
    else:
        if dst_path is not None and not Path(dst_path).is_dir():
            raise InvalidArgumentError(f"dst_path {str(dst_path)!r} must be an existing directory.")
        from holdfast.models._remote import open_remote

        files, origin = open_remote(str(model_uri), None if dst_path is None else Path(dst_path))
        place = str(model_uri)
    trust = judge(origin, allows_pickle() if allow_pickle is None else allow_pickle)
    yield Package(files, _read_mlmodel(files, place), trust, frozenset(named or ()))


def _read_mlmodel(files: PackageFiles, place: str) -> MLmodel:
    if FILE_NAME not in files.names():
        raise NotFoundError(f"{place} has no {FILE_NAME}, so it holds no model.")
    size = files.size(FILE_NAME)
    if size > MAX_BYTES:
        raise InvalidArgumentError(f"{FILE_NAME} has {size} bytes; at most {MAX_BYTES} are read.")
    return MLmodel.parse(files.read(FILE_NAME))


def _local_directory(uri: str | os.PathLike[str]) -> Path:
    path = local_path(uri)
    if not path.is_dir():
        raise NotFoundError(
            f"There is no model at {str(uri)!r}: it is neither a directory nor a URI such as models:/…."
        )
    return path
