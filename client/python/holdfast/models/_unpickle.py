"""The one place where serialized objects are loaded.

Loading a pickle runs code of its choosing. So this is the only function that does it, it asks whether the package is
trusted before it does, it takes bytes rather than a path, and its callers hand it the very bytes whose digest they
have checked.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from holdfast.errors import HoldfastError, InvalidArgumentError
from holdfast.models._declared import is_archive, looks_like_pickle
from holdfast.models._trust import Trust

if TYPE_CHECKING:
    from holdfast.models._code import PackagedCode

__all__ = ["SERIALIZATION_FORMATS", "StandIn", "check_loadable", "check_readable", "load_object"]

SERIALIZATION_FORMATS = ("cloudpickle", "pickle", "skops")

StandIn = Callable[[str, str], Any]
"""What stands for a name of a module, both given as text; None for nothing."""

# Of archives that nobody trusts: bytes that they may have, and that their files may have together, or else times what
# the archive has.
_MAX_UNTRUSTED, _MAX_UNPACKED, _MAX_RATIO = 1 << 30, 1 << 30, 20


def load_object(
    data: bytes | bytearray,
    serialization_format: Any,
    *,
    name: str,
    trust: Trust,
    named_types: Collection[str] = (),
    recorded_types: Collection[str] = (),
    code: PackagedCode | None = None,
    stand_in: StandIn | None = None,
) -> Any:
    """Load one object.

    Args:
        data: Its serialized form, checked by the caller.
        serialization_format: One of `SERIALIZATION_FORMATS`.
        name: What errors call it.
        trust: Whether the package may run what it holds.
        named_types: Names of types that the user lets skops construct besides those it trusts by itself.
        recorded_types: The same as the package says; believed only where it is trusted.
        code: Modules that come with the package, and go before others of the same name.
        stand_in: What stands for names of modules that are not installed.

    Raises:
        UntrustedModelError: It would run code of somebody who is not trusted.
        InvalidArgumentError: The format is unknown, the data is not of that format or does not load, or skops met a
            type that nobody trusts.
        ModuleNotFoundError: A module that the object needs is not installed.
    """
    if serialization_format not in SERIALIZATION_FORMATS:
        raise InvalidArgumentError(
            f"Unknown serialization format {serialization_format!r}; known are {', '.join(SERIALIZATION_FORMATS)}."
        )
    if serialization_format == "skops":
        # Before skops opens it: what it does with files of other kinds is not ours to rely on.
        if not is_archive(data):
            raise InvalidArgumentError(f"{name} is declared as skops and is none{_what_it_is(data)}. It is not loaded.")
        if not trust.given:
            _check_unpacked(data, name)
        return _loading(name, lambda: _load_skops(data, trust, named_types, recorded_types, code))
    trust.require(f"Unpickling {name}")
    if is_archive(data):
        raise InvalidArgumentError(
            f"{name} is declared as {serialization_format} and is none{_what_it_is(data)}. It is not loaded."
        )
    if code is None and stand_in is None:
        return _loading(name, lambda: pickle.loads(data))  # noqa: S301 - the choke point
    return _loading(name, lambda: _Unpickler(data, code, stand_in).load())


def check_readable(serialization_format: Any, size: int, *, name: str, trust: Trust) -> None:
    """Refuse a file of a package that is not trusted before any byte of it is fetched.

    Args:
        serialization_format: As the package declares it.
        size: Bytes of the file, as they are listed.
        name: What errors call it.
        trust: Whether the package may run what it holds.

    Raises:
        UntrustedModelError: Loading it would run code of somebody who is not trusted.
        InvalidArgumentError: It is larger than what is read of somebody who is not trusted.
    """
    if serialization_format in SERIALIZATION_FORMATS and serialization_format != "skops":
        trust.require(f"Unpickling {name}")
    elif not trust.given and size > _MAX_UNTRUSTED:
        raise InvalidArgumentError(
            f"{name} has {size:,} bytes, and at most {_MAX_UNTRUSTED:,} are read of a package that is not trusted. "
            f"{trust.refusal}"
        )


def check_loadable(file: Path, types: Collection[str]) -> None:
    """Check that the archive that skops just wrote to ``file`` can be loaded by trusting ``types``.

    It is told by the schema: nothing is loaded, and no array is read.

    Raises:
        InvalidArgumentError: It holds other types; the message lists them.
    """
    import skops.io

    hollow = io.BytesIO()
    with zipfile.ZipFile(file) as archive, zipfile.ZipFile(hollow, "w") as copy:
        for name in dict.fromkeys(archive.namelist()):
            copy.writestr(name, archive.read(name) if name == "schema.json" else b"")
    found = skops.io.get_untrusted_types(data=hollow.getvalue())
    nameless = any(map(_is_nameless, found))
    if unknown := found if nameless else sorted(set(found) - set(types)):
        raise _untrusted(unknown)


class _Unpickler(pickle.Unpickler):
    """Finds classes and functions in the package's own modules first, without ``sys.modules`` knowing them."""

    def __init__(self, data: bytes | bytearray, code: PackagedCode | None, stand_in: StandIn | None) -> None:
        super().__init__(io.BytesIO(data))
        self._code, self._stand_in = code, stand_in

    def find_class(self, module: str, name: str) -> Any:
        """What a pickle refers to by name."""
        found = None if self._code is None else self._code.find(module, name)
        if found is not None:
            return found
        try:
            return super().find_class(module, name)
        except ModuleNotFoundError as error:
            stands = None
            if self._stand_in is not None and error.name == module.partition(".")[0]:
                stands = self._stand_in(module, name)
            if stands is None:
                raise
            return stands


def _check_unpacked(data: bytes | bytearray, name: str) -> None:
    """Refuse an archive that is small and fills the memory; what zipfile reads is never more than is declared."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            size = sum(item.file_size for item in archive.infolist())
    except (zipfile.BadZipFile, ValueError, OSError):
        return  # which skops tells
    if size > max(_MAX_UNPACKED, _MAX_RATIO * len(data)):
        raise InvalidArgumentError(
            f"{name} has {len(data):,} bytes, and unpacked {size:,}. It is not loaded, as the package is not trusted."
        )


def _what_it_is(data: bytes | bytearray) -> str:
    if is_archive(data):
        return ": it looks like a zip or skops archive"
    return ": it looks like a pickle" if looks_like_pickle(data) else ""


def _loading(name: str, load: Callable[[], Any]) -> Any:
    """Run ``load``; whatever it raises becomes an error that says what to do."""
    try:
        return load()
    except (HoldfastError, MemoryError):
        raise
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"Loading this model needs the module {error.name!r}, which is not installed; the package's "
            "requirements.txt lists what it was saved with.",
            name=error.name,
        ) from error
    except Exception as error:
        raise InvalidArgumentError(
            f"{name} does not load: {type(error).__name__}: {error}. It may have been saved with other versions of its "
            "libraries than are installed; the package's requirements.txt lists them."
        ) from error


def _load_skops(
    data: bytes | bytearray, trust: Trust, named: Collection[str], recorded: Collection[str], code: PackagedCode | None
) -> Any:
    import skops.io
    from skops.io.exceptions import UntrustedTypesFoundException

    believed = sorted({*named, *recorded} if trust.given else set(named))
    try:
        if code is None:
            return skops.io.loads(data, trusted=believed)
        with code.visible():  # skops imports by name
            return skops.io.loads(data, trusted=believed)
    except UntrustedTypesFoundException as error:
        unknown = sorted(set(skops.io.get_untrusted_types(data=data)) - set(believed))
        listed = f" The package's own list is not believed. {trust.refusal}" if set(recorded) & set(unknown) else ""
        raise _untrusted(unknown, listed) from error


def _untrusted(unknown: list[str], advice: str = "") -> InvalidArgumentError:
    if any(map(_is_nameless, unknown)):
        return InvalidArgumentError(
            f"The model holds functions or classes without a name of their own, which skops cannot "
            f"load: {unknown}. serialization_format='cloudpickle' takes them."
        )
    return InvalidArgumentError(
        f"The model holds types that skops does not trust: {unknown}. If you trust them, pass "
        f"skops_trusted_types={unknown}.{advice}"
    )


def _is_nameless(name: str) -> bool:
    """Whether no import finds what is called so: ``<lambda>`` or ``<locals>``."""
    return "<" in name
