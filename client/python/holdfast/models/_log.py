"""Logging of a model: what every flavor's ``log_model`` does."""

from __future__ import annotations

import contextlib
import operator
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from holdfast._checks import check_seconds, check_unicode
from holdfast._names import (
    MAX_STATUS_MESSAGE,
    check_logged_model_name,
    check_model_type,
    check_registered_model_name,
)
from holdfast._worker_reads import unless_worker
from holdfast.errors import FailedPreconditionError, HoldfastError, InvalidArgumentError, PermissionDeniedError
from holdfast.format.names import MAX_MODEL_TAG
from holdfast.models._info import ModelInfo, model_info
from holdfast.models._warn import warn
from holdfast.models._writer import Flavor, PackageOptions, write_package

if TYPE_CHECKING:
    from holdfast._active_run import ActiveRun
    from holdfast._client import Client

__all__ = ["LogOptions", "log_package", "refuse_unknown"]


def refuse_unknown(function: str, keywords: Mapping[str, Any]) -> None:
    """Raise TypeError, as Python does, when there are ``keywords``."""
    if keywords:
        raise TypeError(f"{function}() got an unexpected keyword argument {next(iter(keywords))!r}")


@dataclass(frozen=True)
class LogOptions:
    """Options of ``log_model`` that concern the logged model rather than its package, checked by `check`."""

    name: str | None
    registered_model_name: str | None
    await_registration_for: float | None
    params: dict[str, str]
    tags: dict[str, str]
    model_type: str | None
    step: int
    model_id: str | None

    @classmethod
    def check(
        cls,
        *,
        name: str | None,
        artifact_path: str | None,
        registered_model_name: str | None,
        await_registration_for: float | None,
        params: Mapping[str, Any] | None,
        tags: Mapping[str, Any] | None,
        model_type: str | None,
        step: int,
        model_id: str | None,
    ) -> LogOptions:
        """Check the arguments; nothing is sent.

        Raises:
            InvalidArgumentError: One of them breaks a rule.
        """
        if artifact_path is not None:
            if name is not None:
                raise InvalidArgumentError("Give name or artifact_path (its deprecated spelling), not both.")
            name = artifact_path
        if name is not None:
            _check_name(name)
        if artifact_path is not None:
            warn("artifact_path is deprecated; use name instead.", DeprecationWarning)
        if model_type is not None:
            check_model_type(model_type)
        for argument, value in (("params", params), ("tags", tags)):
            if value is not None and not isinstance(value, Mapping):
                raise InvalidArgumentError(f"{argument} must be a dictionary, not {type(value).__name__}.")
        text_params = {str(key): str(value) for key, value in (params or {}).items()}
        text_tags = {str(key): str(value) for key, value in (tags or {}).items()}
        from holdfast._calls import tags_to_proto
        from holdfast._registry import version_tags_to_proto
        from holdfast._runs import params_to_proto

        # Each raises for what the server would refuse after a run or a model has begun.
        params_to_proto(text_params)
        tags_to_proto(text_tags, MAX_MODEL_TAG)
        if registered_model_name is not None:
            check_registered_model_name(registered_model_name)
            version_tags_to_proto(text_tags)
        if model_id is not None:
            check_unicode(model_id, "model_id")
        return cls(
            name=name,
            registered_model_name=registered_model_name,
            await_registration_for=check_seconds(await_registration_for, "await_registration_for"),
            params=text_params,
            tags=text_tags,
            model_type=model_type,
            step=_step(step),
            model_id=model_id,
        )


def _check_name(name: Any) -> None:
    if not isinstance(name, str) or not name:
        raise InvalidArgumentError(f"The name of a model must be a non-empty string, not {name!r}.")
    check_logged_model_name(name)


def _step(step: Any) -> int:
    try:
        if isinstance(step, bool):
            raise TypeError  # noqa: TRY301 - bool has an index, and means something else
        number = operator.index(step)  # numpy's integers too
    except TypeError:
        raise InvalidArgumentError(f"step must be an integer, not {step!r}.") from None
    if not -(2**63) <= number < 2**63:
        raise InvalidArgumentError(f"step must be an integer of 64 bits, not {step!r}.")
    return number


def log_package(
    flavor: Flavor, package: PackageOptions, options: LogOptions, *, run: ActiveRun | None = None
) -> ModelInfo:
    """Log a model to ``run``; without that to the active run, starting one if there is none.

    The model is PENDING until its whole package is stored, and FAILED if anything goes wrong before that.

    Raises:
        NotFoundError: ``model_id`` names no model.
        FailedPreconditionError: It names one that is finalized.
        PermissionDeniedError: A worker is to register the model, which its token does not allow; nothing was sent.
    """
    from holdfast import fluent
    from holdfast.entities import LoggedModelOutput

    active = run or fluent.active_run()
    client = fluent.current_client() if active is None else active.client  # a run stays with the server it began on
    begun = None if options.model_id is None else _open_model(client, options)
    run = run or fluent.require_run()
    if begun is None:
        begun = _begin_model(client, run, options)
    else:
        # The model is the user's: nothing of it is written yet, so being refused here must not make it FAILED.
        _record_on_existing(client, options)
    model_id = begun.model_id
    try:
        with tempfile.TemporaryDirectory(prefix="holdfast-model-") as temporary:
            directory = Path(temporary, "model")
            directory.mkdir()
            mlmodel = write_package(
                directory,
                flavor,
                package,
                artifact_path=f"models:/{model_id}",
                run_id=run.info.run_id,
                model_id=model_id,
            )
            client.log_model_artifacts(model_id, str(directory))
        client.log_outputs(run.info.run_id, models=[LoggedModelOutput(model_id, options.step)])
        final = client.finalize_logged_model(model_id, "READY")
    except BaseException as error:
        # The first error says what went wrong; a second one, of a server that is gone too, would hide it.
        with contextlib.suppress(HoldfastError):
            message = f"{type(error).__name__}: {error}"[:MAX_STATUS_MESSAGE]
            client.finalize_logged_model(model_id, "FAILED", status_message=message)
        raise
    version = None
    if options.registered_model_name is not None:
        version = client.register_logged_model(
            options.registered_model_name,
            model_id,
            tags=options.tags,
            await_registration_for=options.await_registration_for,
        ).version
    return model_info(
        mlmodel,
        uri=f"models:/{model_id}",
        logged_model=replace(final, **begun.known) if begun.by_worker else client.get_logged_model(model_id),
        step=options.step,
        registered_model_version=version,
    )


@dataclass(frozen=True)
class _Begun:
    """A model that is PENDING. ``known``: what a worker, who is told ids and status only, knows of it besides."""

    model_id: str
    by_worker: bool
    known: dict[str, Any]


def _begin_model(client: Client, run: ActiveRun, options: LogOptions) -> _Begun:
    from holdfast._times import now_ms

    run_params = unless_worker(lambda: client.get_run(run.info.run_id).data.params, None)
    by_worker = run_params is None
    _check_registers(options, by_worker=by_worker)
    # As in MLflow, the model has the parameters of the run that made it.
    params = {**options.params, **(run_params or {})}
    created = client.create_logged_model(
        "",  # that of the run
        name=options.name,
        source_run_id=run.info.run_id,
        tags=options.tags,
        params=params,
        model_type=options.model_type,
    )
    known = {"params": params, "tags": options.tags, "model_type": options.model_type, "creation_timestamp": now_ms()}
    return _Begun(created.model_id, by_worker=by_worker, known=known)


def _open_model(client: Client, options: LogOptions) -> _Begun:
    assert options.model_id is not None
    model_id = options.model_id
    model = unless_worker(lambda: client.get_logged_model(model_id), None)
    _check_registers(options, by_worker=model is None)
    if model is None:  # the server refuses to write to one that is final
        return _Begun(model_id, by_worker=True, known={"params": options.params, "tags": options.tags})
    status = str(getattr(model.status, "value", model.status))
    if status != "PENDING":
        raise FailedPreconditionError(
            f"Model {model_id} is {status}; only a PENDING model can be written. Log a new one without model_id."
        )
    return _Begun(model_id, by_worker=False, known={})


def _check_registers(options: LogOptions, *, by_worker: bool) -> None:
    """Refuse to register before anything is sent, where that would be refused after all is."""
    if by_worker and options.registered_model_name is not None:
        raise PermissionDeniedError(
            "This is a worker's token, which logs models and registers none. Leave out registered_model_name, and "
            "register the model with the token that made the worker's: holdfast.register_model(info.model_uri, "
            f"{options.registered_model_name!r}).",
            reason="WORKER_TOKEN",
        )


def _record_on_existing(client: Client, options: LogOptions) -> None:
    assert options.model_id is not None
    if options.params:
        client.log_model_params(options.model_id, options.params)
    if options.tags:
        client.set_logged_model_tags(options.model_id, options.tags)
