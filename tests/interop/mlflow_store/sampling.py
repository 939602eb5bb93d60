"""A few points of a metric that stand for all, as MLflow's charts want them."""

from __future__ import annotations

from holdfast import Client
from holdfast.entities import Metric

# Ten requests' worth. Of longer metrics a chart is read, which takes no longer however long they are.
MOST_READ = 250_000
MOST_BUCKETS = 5_000


def sample(
    client: Client, run_id: str, key: str, most: int, *, min_step: int | None, max_step: int | None
) -> list[Metric]:
    """At most ``most`` points of a run's metric, evenly over all, with the first and the last.

    Of more than ``MOST_READ`` points they are even over the steps, and each is the last of its part of them.
    """
    points = client.get_metric_history(run_id, key, MOST_READ, min_step=min_step, max_step=max_step)
    if points.token is None:
        ordered = sorted(points, key=lambda point: (point.step, point.timestamp, point.value))
        return _first_of_each_part(ordered, most)
    # Its parts are as wide as a power of two says, so there may be half as many as are asked for.
    chart = client.get_metric_chart(run_id, key, min(2 * most, MOST_BUCKETS), min_step=min_step, max_step=max_step)
    lasts = [Metric(key, bucket.last, bucket.last_timestamp, bucket.last_step) for bucket in chart]
    return _first_of_each_part([points[0], *lasts], most)


def _first_of_each_part(points: list[Metric], most: int) -> list[Metric]:
    """The first of each of ``most`` parts that are equally large, as SQL's NTILE cuts them, and the last of all."""
    if len(points) <= most:
        return points
    size, larger = divmod(len(points), most)
    firsts = [part * size + min(part, larger) for part in range(most)]
    return [points[index] for index in (*firsts[:-1], len(points) - 1)]
