"""Opens a package, wherever it is, and hands out bytes whose digest has been checked."""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from holdfast.errors import DataLossError, InvalidArgumentError, NotFoundError
from holdfast.models._digest import bytes_digest, files_below
from holdfast.models._files import is_remote
from holdfast.models._mlmodel import FILE_NAME, MLmodel

__all__ = ["Package", "open_package"]


@dataclass(frozen=True)
class Package:
    """A package in a local directory.

    Attributes:
        directory: Where it is.
        mlmodel: The content of its MLmodel file.
    """

    directory: Path
    mlmodel: MLmodel

    def read(self, path: Any) -> bytes:
        """Return the content of the file at ``path`` inside the package, checked against MLmodel's digest.

        A package without digests (one that MLflow wrote) is read as it is.

        Raises:
            InvalidArgumentError: The path leads out of the package.
            NotFoundError: There is no such file.
            DataLossError: The content is not what was saved.
        """
        parts = PurePosixPath(path).parts if isinstance(path, str) else ()
        file = self.directory.joinpath(*parts)
        inside = file.resolve().is_relative_to(self.directory.resolve())
        if not parts or ".." in parts or "\\" in str(path) or not inside:
            raise InvalidArgumentError(f"MLmodel names the file {path!r}, which is not a path inside the package.")
        try:
            data = file.read_bytes()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            raise NotFoundError(f"MLmodel names the file {path!r}, which the package does not have.") from None
        if (digests := self.mlmodel.digests) is not None:
            expected = digests.get("/".join(parts))
            if expected is None or len(data) != expected.size or bytes_digest(data).hex() != expected.digest:
                raise DataLossError(
                    f"{path} is not the file that was saved with this model: its digest differs from the one in "
                    f"{FILE_NAME}. Download the model again."
                )
        return data

    def import_code(self, code: Any) -> None:
        """Put the package's own code at the front of ``sys.path``.

        A checked copy is imported rather than the package's directory: that may be gone before a late import, and
        may hold compiled files that nobody checked. The copy lives until the process ends.

        Args:
            code: The directory inside the package, as the flavor's configuration names it; nothing when empty.
        """
        if not code:
            return
        base = str(PurePosixPath(str(code)))
        source = self.directory / base
        names = [name for name in files_below(source) if "__pycache__" not in name]
        contents = {name: self.read(f"{base}/{name}") for name in names}
        key = bytes_digest(b"".join(f"{name}\0".encode() + bytes_digest(data) for name, data in contents.items()))
        target = _code_root() / key.hex()
        if not target.exists():
            staging = Path(tempfile.mkdtemp(dir=_code_root()))
            for name, data in contents.items():
                file = staging / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(data)
            with contextlib.suppress(OSError):  # another thread was faster with the same content
                staging.rename(target)
        if str(target) not in sys.path:
            sys.path.insert(0, str(target))
            importlib.invalidate_caches()


@functools.cache
def _code_root() -> Path:
    root = Path(tempfile.mkdtemp(prefix="holdfast-code-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    return root


@contextlib.contextmanager
def open_package(
    model_uri: str | os.PathLike[str], dst_path: str | os.PathLike[str] | None = None
) -> Iterator[Package]:
    """Open the package at ``model_uri`` for the time of a ``with`` block.

    Args:
        model_uri: A local directory, a ``file:`` URI, or any URI that `download_artifacts` takes.
        dst_path: An existing directory for the download, which stays; by default a temporary one, which does not.

    Raises:
        NotFoundError: There is no model.
        InvalidArgumentError: Its MLmodel is malformed.
    """
    with contextlib.ExitStack() as stack:
        if not is_remote(model_uri):
            directory = _local_path(model_uri)
            if dst_path is not None:
                directory = Path(shutil.copytree(directory, dst_path, dirs_exist_ok=True))
        else:
            if dst_path is None:
                dst_path = stack.enter_context(tempfile.TemporaryDirectory(prefix="holdfast-model-"))
            elif not Path(dst_path).is_dir():
                raise InvalidArgumentError(f"dst_path {str(dst_path)!r} must be an existing directory.")
            from holdfast import fluent

            client = fluent.current_client()
            directory = Path(client.download_artifacts(artifact_uri=str(model_uri), dst_path=str(dst_path)))
        yield Package(directory, MLmodel.load(directory))


def _local_path(uri: str | os.PathLike[str]) -> Path:
    text = os.fspath(uri)
    if text.startswith("file:") and not Path(text).exists():
        from urllib import parse, request  # costs as much as the rest of this package

        text = request.url2pathname(parse.urlsplit(text).path)
    path = Path(text).expanduser()
    if not path.is_dir():
        raise NotFoundError(
            f"There is no model at {str(uri)!r}: it is neither a directory nor a URI such as models:/…."
        )
    return path
