"""Holdfast's errors in MLflow's words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mlflow.exceptions import MlflowException
from mlflow.protos import databricks_pb2 as codes

from holdfast import errors

# By reason first: MLflow's registry answers some of what is not there as a bad parameter.
_BY_REASON = {"ALIAS_NOT_FOUND": codes.INVALID_PARAMETER_VALUE}
_BY_KIND = (
    (errors.NotFoundError, codes.RESOURCE_DOES_NOT_EXIST),
    (errors.AlreadyExistsError, codes.RESOURCE_ALREADY_EXISTS),
    (errors.FailedPreconditionError, codes.INVALID_PARAMETER_VALUE),
    (errors.InvalidArgumentError, codes.INVALID_PARAMETER_VALUE),
    (errors.OutOfRangeError, codes.INVALID_PARAMETER_VALUE),
    (errors.PermissionDeniedError, codes.PERMISSION_DENIED),
    (errors.UnauthenticatedError, codes.UNAUTHENTICATED),
    (errors.ResourceExhaustedError, codes.RESOURCE_EXHAUSTED),
    (errors.UnavailableError, codes.TEMPORARILY_UNAVAILABLE),
)


@contextmanager
def translated(*, forbidden: int = codes.INVALID_PARAMETER_VALUE) -> Iterator[None]:
    """Raise what Holdfast raises as MLflow does; ``forbidden`` is MLflow's code for what the state forbids."""
    try:
        yield
    except errors.HoldfastError as error:
        code = _BY_REASON.get(error.reason) or next(
            (code for kind, code in _BY_KIND if isinstance(error, kind)), codes.INTERNAL_ERROR
        )
        if isinstance(error, errors.FailedPreconditionError):
            code = forbidden
        raise MlflowException(error.message, error_code=code) from error
