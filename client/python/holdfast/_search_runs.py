"""Finding runs, as a table."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

from holdfast._connection import current_client
from holdfast._own_tags import is_own
from holdfast._start_run import current_experiment_id
from holdfast.entities import Run, ViewType
from holdfast.errors import InvalidArgumentError, NotFoundError

if TYPE_CHECKING:
    import pandas as pd

MAX_RESULTS = 100_000


@overload
def search_runs(
    experiment_ids: Sequence[str] | None = ...,
    filter_string: str = ...,
    run_view_type: ViewType | int = ...,
    max_results: int | None = ...,
    order_by: Sequence[str] | None = ...,
    *,
    output_format: Literal["list"],
    search_all_experiments: bool = ...,
    experiment_names: Sequence[str] | None = ...,
    fields: Sequence[str] | None = ...,
) -> list[Run]: ...


@overload
def search_runs(
    experiment_ids: Sequence[str] | None = ...,
    filter_string: str = ...,
    run_view_type: ViewType | int = ...,
    max_results: int | None = ...,
    order_by: Sequence[str] | None = ...,
    output_format: str = ...,
    search_all_experiments: bool = ...,
    experiment_names: Sequence[str] | None = ...,
    *,
    fields: Sequence[str] | None = ...,
) -> Any: ...


def search_runs(  # noqa: PLR0917 - MLflow's own signature
    experiment_ids: Sequence[str] | None = None,
    filter_string: str = "",
    run_view_type: ViewType | int = ViewType.ACTIVE_ONLY,
    max_results: int | None = MAX_RESULTS,
    order_by: Sequence[str] | None = None,
    output_format: str = "pandas",
    search_all_experiments: bool = False,
    experiment_names: Sequence[str] | None = None,
    *,
    fields: Sequence[str] | None = None,
) -> pd.DataFrame | list[Run]:
    """Find runs, such as ``"metrics.loss < 0.1 AND params.optimizer = 'adam'"``; newest first without an ordering.

    Args:
        experiment_ids: Where to look; or
        filter_string: Conditions joined by AND.
        run_view_type: Which lifecycle stages.
        max_results: None for all.
        order_by: Such as ``["metrics.loss ASC"]``.
        output_format: ``"pandas"``: a DataFrame, or a list where pandas is missing; ``"list"``: a list of ``Run``.
        search_all_experiments: Look in every experiment that is not deleted, when neither ids nor names say where.
        experiment_names: the same by name. Without any of these: the experiment that runs begin in.
        fields: What each run is to hold besides its attributes, such as ``["metrics.loss", "params", "tags.team"]``;
            None for everything.

    Returns:
        A row for each run with the columns ``run_id``, ``experiment_id``, ``status``, ``artifact_uri``, ``start_time``,
        ``end_time`` (UTC), and ``metrics.*`` (NaN where absent), ``params.*`` and ``tags.*`` (None where absent).
    """
    if output_format not in ("pandas", "list"):
        raise InvalidArgumentError(f"output_format is 'pandas' or 'list', not {output_format!r}.")
    client = current_client()
    experiments = _experiments(experiment_ids, experiment_names, all_of_them=search_all_experiments)
    runs = client.search_runs(
        experiments or (),
        filter_string,
        run_view_type,
        max_results,
        order_by,
        fields=fields,
        search_all_experiments=experiments is None,
    )
    if output_format == "list" or importlib.util.find_spec("pandas") is None:
        return runs
    return runs_to_frame(runs, fields or ())


def iterate_runs(
    experiment_ids: Sequence[str] | None = None,
    filter_string: str = "",
    run_view_type: ViewType | int = ViewType.ACTIVE_ONLY,
    order_by: Sequence[str] | None = None,
    *,
    search_all_experiments: bool = False,
    experiment_names: Sequence[str] | None = None,
    fields: Sequence[str] | None = None,
) -> Iterator[Run]:
    """Go through all runs that ``search_runs`` would find, however many, in bounded memory.

    Args:
        experiment_ids: As in ``search_runs``.
        filter_string: The same.
        run_view_type: The same.
        order_by: The same.
        search_all_experiments: The same.
        experiment_names: The same.
        fields: The same; the fewer, the faster.
    """
    experiments = _experiments(experiment_ids, experiment_names, all_of_them=search_all_experiments)
    return current_client().iterate_runs(
        experiments or (),
        filter_string,
        run_view_type,
        order_by,
        fields=fields,
        search_all_experiments=experiments is None,
    )


def _experiments(ids: Sequence[str] | None, names: Sequence[str] | None, *, all_of_them: bool) -> list[str] | None:
    """The ids of the experiments to search in; None for all of them."""
    if ids and names:
        raise InvalidArgumentError("Say where to search either by experiment_ids or by experiment_names.")
    client = current_client()
    if names:
        found = {name: client.get_experiment_by_name(name) for name in names}
        missing = [name for name, experiment in found.items() if experiment is None]
        if missing:
            raise NotFoundError(f"There is no experiment named {missing[0]!r}.", reason="EXPERIMENT_NOT_FOUND")
        return [experiment.experiment_id for experiment in found.values() if experiment is not None]
    if ids:
        return [ids] if isinstance(ids, str) else [str(experiment_id) for experiment_id in ids]
    if all_of_them:
        return None
    return [current_experiment_id()]


def runs_to_frame(runs: Sequence[Run], asked_for: Sequence[str] = ()) -> pd.DataFrame:
    """MLflow's table of runs.

    Args:
        runs: The rows.
        asked_for: Such as ``"tags.team"``; Holdfast's own tags have no columns unless they are among these.
    """
    import pandas as pd

    columns: dict[str, Any] = {
        "run_id": [run.info.run_id for run in runs],
        "experiment_id": [run.info.experiment_id for run in runs],
        "status": [run.info.status for run in runs],
        "artifact_uri": [run.info.artifact_uri for run in runs],
        "start_time": _times([run.info.start_time for run in runs]),
        "end_time": _times([run.info.end_time for run in runs]),
    }
    for kind, absent in (("metrics", float("nan")), ("params", None), ("tags", None)):
        values: list[dict[str, Any]] = [getattr(run.data, kind) for run in runs]
        for key in dict.fromkeys(key for item in values for key in item):
            if kind == "tags" and is_own(key) and f"tags.{key}" not in asked_for:
                continue
            column = [item.get(key, absent) for item in values]
            columns[f"{kind}.{key}"] = column if kind == "metrics" else pd.Series(column, dtype=object)
    frame: pd.DataFrame = pd.DataFrame(columns)
    return frame


def _times(milliseconds: Sequence[int | None]) -> Any:
    import pandas as pd

    times: Any = pd.array(list(milliseconds), dtype="Int64")
    return pd.to_datetime(pd.Series(times), unit="ms", utc=True)
