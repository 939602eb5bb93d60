"""What a search for parameters found: its best, and runs for the parameters it tried."""

from __future__ import annotations

import csv
import io
import math
import numbers
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from holdfast._autologging.datasets import name_and_digest
from holdfast._autologging.params import loggable, params_of, tags_of
from holdfast._autologging.runs import AUTOLOGGING_TAG, FLAVOR
from holdfast._autologging.steps import Steps
from holdfast._context import PARENT_TAG, context_tags
from holdfast._times import now_ms
from holdfast.format.names import broken_key_rule

if TYPE_CHECKING:
    from holdfast._active_run import ActiveRun
    from holdfast.entities import Dataset, DatasetInput

# Columns of single folds, and of parameters, which candidates have as such.
_LEFT_OUT = ("param", "split")


class Candidates:
    """The parameters that a search tried, and what it measured of each."""

    def __init__(self, search: Any) -> None:
        self._search = search
        self._columns: dict[str, list[Any]] = {key: _plain(column) for key, column in search.cv_results_.items()}

    @property
    def rank_column(self) -> str:
        """By which they are ordered: of several metrics the first one's."""
        ranks = [key for key in self._columns if key.startswith("rank_test_")]
        return "rank_test_score" if "rank_test_score" in ranks else ranks[0]

    def best(self, count: int | None) -> list[dict[str, Any]]:
        """So many of the best, best first, as columns; None for all as they were tried."""
        rows = [dict(zip(self._columns, values, strict=True)) for values in zip(*self._columns.values(), strict=True)]
        if count is None:
            return rows
        rank = self.rank_column
        return sorted(rows, key=lambda row: row[rank])[:count]

    def to_csv(self) -> str:
        """All of them, as a table."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self._columns)
        writer.writerows([_cell(value) for value in row] for row in zip(*self._columns.values(), strict=True))
        return text.getvalue()


def _plain(column: Any) -> list[Any]:
    # Parameters that a candidate does not have are masked; tolist makes them None, and Python's numbers of numpy's.
    return list(column.tolist() if hasattr(column, "tolist") else column)


def _cell(value: Any) -> Any:
    return "" if value is None or (isinstance(value, float) and math.isnan(value)) else value


def metrics_of(row: Mapping[str, Any]) -> dict[str, float]:
    """What was measured of a candidate over all folds."""
    return {key: float(value) for key, value in _measured(row) if not broken_key_rule(key)}


def _measured(row: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in row.items():
        if not key.startswith(_LEFT_OUT) and isinstance(value, numbers.Real) and not isinstance(value, bool):
            yield key, value


def log_candidates(
    run: ActiveRun,
    search: Any,
    *,
    count: int | None,
    dataset: Dataset | None,
    inputs: list[DatasetInput],
    best_model_id: str | None,
    steps: Steps,
) -> None:
    """Make a run, ended, for each of the best candidates inside ``run``.

    Args:
        run: Of the search.
        search: It.
        count: At most so many; None for all.
        dataset: What was measured on; None when that is not described.
        inputs: To link each of them to.
        best_model_id: The model of the best candidate, which its metrics are about as well.
        steps: Tells what could not be logged.
    """
    candidates = Candidates(search)
    rows = candidates.best(count)
    steps.tell(f"{len(rows)} of {len(search.cv_results_['params'])} candidates are logged as runs.")
    seed = search.estimator
    base, tags = params_of(seed), {**context_tags(), AUTOLOGGING_TAG: FLAVOR, **tags_of(seed)}
    client, started = run.client, run.info.start_time
    name, digest = name_and_digest(dataset)
    for row in rows:
        child = client.create_run(
            run.info.experiment_id, start_time=started, tags={**tags, PARENT_TAG: run.info.run_id}
        ).info.run_id
        client.log_params(child, loggable({**base, **row["params"]}, steps))
        is_best = best_model_id is not None and row["params"] == search.best_params_
        client.log_metrics(
            child,
            metrics_of(row),
            model_id=best_model_id if is_best else None,
            dataset_name=name,
            dataset_digest=digest,
        )
        if inputs:
            client.log_inputs(child, inputs)
        client.set_terminated(child, end_time=now_ms())
