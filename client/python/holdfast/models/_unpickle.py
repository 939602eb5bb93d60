"""The one place where serialized objects are loaded.

Loading a pickle runs code of its choosing. So this is the only function that does it, it takes bytes rather than a
path, and its callers hand it the very bytes whose digest they have checked.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable
from typing import Any

from holdfast.errors import InvalidArgumentError

__all__ = ["SERIALIZATION_FORMATS", "load_object"]

SERIALIZATION_FORMATS = ("cloudpickle", "pickle", "skops")


def load_object(data: bytes, serialization_format: str, *, trusted_types: Iterable[str] = ()) -> Any:
    """Load one object.

    Args:
        data: Its serialized form, checked by the caller.
        serialization_format: One of `SERIALIZATION_FORMATS`.
        trusted_types: Names of types that skops may construct besides those it trusts by itself.

    Raises:
        InvalidArgumentError: The format is unknown, or skops met a type that nobody trusts.
        ModuleNotFoundError: A module that the object needs is not installed.
    """
    try:
        if serialization_format == "skops":
            return _load_skops(data, sorted(trusted_types))
        if serialization_format == "cloudpickle":
            import cloudpickle

            return cloudpickle.loads(data)
        if serialization_format == "pickle":
            return pickle.loads(data)  # noqa: S301 - the choke point
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"Loading this model needs the module {error.name!r}, which is not installed; the package's "
            "requirements.txt lists what it was saved with.",
            name=error.name,
        ) from error
    raise InvalidArgumentError(
        f"Unknown serialization format {serialization_format!r}; known are {', '.join(SERIALIZATION_FORMATS)}."
    )


def _load_skops(data: bytes, trusted_types: list[str]) -> Any:
    import skops.io
    from skops.io.exceptions import UntrustedTypesFoundException

    try:
        return skops.io.loads(data, trusted=trusted_types)
    except UntrustedTypesFoundException as error:
        unknown = sorted(set(skops.io.get_untrusted_types(data=data)) - set(trusted_types))
        if any("<" in name for name in unknown):  # <lambda> or <locals>: no import finds these
            raise InvalidArgumentError(
                f"The model holds functions or classes without a name of their own, which skops cannot "
                f"load: {unknown}. serialization_format='cloudpickle' takes them."
            ) from error
        raise InvalidArgumentError(
            f"The model holds types that skops does not trust: {unknown}. If you trust them, pass "
            f"skops_trusted_types={unknown}."
        ) from error
