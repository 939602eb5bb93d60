"""The table of tracking and registry."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Any

from benchmarks.clients.tracking import CLIENTS, METRICS
from benchmarks.markdown import table

Samples = list[dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line.

    Attributes:
        row: Where its figures come from.
        title: What it says.
        figure: The one shown, in milliseconds, or per second if ``rate`` is set.
        ratio: How many times better than MLflow it is to be; 0: it does not matter.
        most: Milliseconds at the 95th percentile that are not to be exceeded; 0: any.
        more_than: Another figure of the row, which this one is to be greater than, without a failed call; empty: none.
    """

    row: str
    title: str
    figure: str
    rate: bool = False
    ratio: float = 0
    most: float = 0
    more_than: str = ""

    @property
    def bounded(self) -> str:
        """The figure that ``most`` is about."""
        return self.figure.replace("_p50", "_p95") if self.row != "import" else self.figure

    @property
    def unanswered(self) -> str:
        """The figure that says how long an answer was waited for that did not come."""
        return self.figure.replace("_p50", "_unanswered")


LINES = (
    Line(row="log-batch", title=f"`log_batch` of {METRICS:,} metrics", figure="log_batch_p50", ratio=25),
    Line(row="runs", title="create and finish runs, one client", figure="runs_1", rate=True, ratio=30),
    Line(row="runs", title=f"the same, {CLIENTS} clients", figure=f"runs_{CLIENTS}", rate=True, more_than="runs_1"),
    Line(row="search", title="search: one metric", figure="metric_p50", ratio=20, most=20),
    Line(row="search", title="search: metric and param", figure="metric+param_p50", ratio=20, most=20),
    Line(row="search", title="search: `LIKE '%x%'` on a tag", figure="like_p50", ratio=20, most=60),
    Line(row="search", title="search: one metric, by another, missing last", figure="ordered_p50", ratio=20, most=60),
    Line(row="search", title="page 1", figure="page_1_p50"),
    Line(row="search", title="page 500", figure="page_500_p50"),
    Line(row="chart", title="latest metrics of a run with 1,000,000 points", figure="latest_p50", most=50),
    Line(row="chart", title="its chart in 1,000 buckets", figure="chart_p50", most=50),
    Line(row="register", title="register a version and move an alias", figure="register_p50", ratio=50),
    Line(row="import", title="import over a bare interpreter", figure="import_p50", most=60),
)


def tracking_lines(samples: Samples) -> list[str]:
    """The table; only its header when nothing was measured."""
    lines = []
    for line in LINES:
        ours, theirs = (_values(samples, line.row, peer, line.figure) for peer in ("holdfast", "mlflow"))
        if not ours:
            continue
        high = _values(samples, line.row, "holdfast", line.bounded)
        bound = f"{statistics.median(high):,.1f}" if high and not line.rate and line.row != "import" else ""
        lines.append(
            [
                line.title,
                _shown(ours, line) + _failed(samples, line, "holdfast"),
                bound,
                _shown(theirs, line) + _failed(samples, line, "mlflow") or _unanswered(samples, line),
                *_ratio(line, ours, theirs, unanswered=_values(samples, line.row, "mlflow", line.unanswered)),
                _met(line, high) or _more(samples, line, ours),
            ]
        )
    return table(["", "Holdfast", "p95", "MLflow", "times better", "wanted", ""], lines)


def _ratio(line: Line, ours: list[float], theirs: list[float], *, unanswered: list[float]) -> tuple[str, str]:
    wanted = [
        f"{line.ratio:g}×" if line.ratio else "",
        f"p95 under {line.most:g} ms" if line.most else "",
        "more than one client, none failed" if line.more_than else "",
    ]
    if not theirs and not unanswered:
        return "", ", ".join(filter(None, wanted))
    better = statistics.median(ours) / statistics.median(theirs or unanswered)
    better = better if line.rate else 1 / better
    verdict = "" if not line.ratio else " met" if better >= line.ratio else " missed"
    least = "" if theirs else "> "
    return f"{least}{better:,.1f}{verdict}", ", ".join(filter(None, wanted))


def _met(line: Line, high: list[float]) -> str:
    if not line.most or not high:
        return ""
    return "met" if statistics.median(high) < line.most else "missed"


def _more(samples: Samples, line: Line, ours: list[float]) -> str:
    if not line.more_than:
        return ""
    less = statistics.median(_values(samples, line.row, "holdfast", line.more_than))
    met = statistics.median(ours) > less and not _failed(samples, line, "holdfast")
    return "met" if met else "missed"


def _shown(values: list[float], line: Line) -> str:
    if not values:
        return ""
    return f"{statistics.median(values):,.1f}" + ("/s" if line.rate else " ms")


def _unanswered(samples: Samples, line: Line) -> str:
    waited = _values(samples, line.row, "mlflow", line.unanswered)
    return f"no answer in {statistics.median(waited) / 1000:,.0f} s" if waited else ""


def _failed(samples: Samples, line: Line, peer: str) -> str:
    """How many calls failed, such as for a locked database; nothing when none did."""
    errors = sum(_values(samples, line.row, peer, line.figure.replace("runs_", "errors_"))) if line.rate else 0
    return f", {errors:,.0f} failed" if errors else ""


def _values(samples: Samples, row: str, peer: str, figure: str) -> list[float]:
    found = [s["figures"] for s in samples if (s["row"], s["peer"]) == (row, peer)]
    return [float(figures[figure]) for figures in found if figure in figures]
