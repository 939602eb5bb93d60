"""The store for MLflow samples metrics that are too long to be read whole from a chart of them."""

from __future__ import annotations

import pytest
from tests.interop.mlflow_store import sampling

from holdfast.entities import Metric


@pytest.mark.parametrize("most", [1, 2, 7, 100])
def test_a_sample_of_a_long_metric_has_as_many_points_as_asked_for_with_both_ends(client, run_id, monkeypatch, most):
    monkeypatch.setattr(sampling, "MOST_READ", 1_000)
    for first in range(0, 3_000, 1_000):
        client.log_batch(run_id, [Metric("m", float(step), step, step) for step in range(first, first + 1_000)])
    found = [point.step for point in sampling.sample(client, run_id, "m", most, min_step=None, max_step=None)]
    assert found == sorted(set(found))
    assert (len(found), found[-1]) == (most, 2_999)
    assert most == 1 or found[0] == 0
    within = [point.step for point in sampling.sample(client, run_id, "m", most, min_step=500, max_step=2_600)]
    assert (len(within), within[-1]) == (most, 2_600)
    assert most == 1 or within[0] == 500
