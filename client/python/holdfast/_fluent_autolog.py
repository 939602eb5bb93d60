"""Autologging of whatever library this package can log by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def autolog(  # noqa: PLR0917 - MLflow's own signature
    log_input_examples: bool = False,
    log_model_signatures: bool = True,
    log_models: bool = True,
    log_datasets: bool = True,
    log_traces: bool = True,
    disable: bool = False,
    exclusive: bool = False,
    disable_for_unsupported_versions: bool = False,
    silent: bool = False,
    extra_tags: Mapping[str, str] | None = None,
    exclude_flavors: Sequence[str] | None = None,
) -> None:
    """Log each training from now on, of every library that can be logged by itself: today scikit-learn.

    Libraries are seen to when the program imports them, before this or later. Those for which ``autolog`` of their own
    was called, such as ``holdfast.sklearn.autolog``, stay as they were told there, on or off.

    Args:
        log_input_examples: Save the first samples with the model.
        log_model_signatures: Save with the model what it takes and gives.
        log_models: Log the model.
        log_datasets: Link the run to its data.
        log_traces: Taken for compatibility; there are no traces.
        disable: Log no more.
        exclusive: Log only to runs of autologging's own.
        disable_for_unsupported_versions: Stay off with libraries that this was not made for.
        silent: Tell of nothing, not even of what could not be logged.
        extra_tags: Of runs of autologging's own.
        exclude_flavors: Libraries to leave out, such as ``["sklearn"]``.

    Raises:
        InvalidArgumentError: An argument breaks a rule; nothing changes.
    """
    from holdfast._autologging.switch import autolog_sklearn

    del log_traces
    if "sklearn" in (exclude_flavors or ()):
        return
    autolog_sklearn(
        for_all=True,
        disable=disable,
        disable_for_unsupported_versions=disable_for_unsupported_versions,
        log_input_examples=log_input_examples,
        log_model_signatures=log_model_signatures,
        log_models=log_models,
        log_datasets=log_datasets,
        exclusive=exclusive,
        silent=silent,
        extra_tags=extra_tags or {},
    )
