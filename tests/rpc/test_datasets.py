"""ExperimentService.ListDatasets over a real socket."""

from __future__ import annotations

import pytest

from holdfast.v1 import experiment_pb2, run_pb2, run_service_pb2
from holdfast.v1 import experiment_service_pb2 as service


async def new_run(runs, experiment_id):
    request = run_service_pb2.CreateRunRequest(experiment_id=experiment_id)
    return (await runs.CreateRun(request)).run.run_id


async def read(runs, run_id, name, digest="d", *, context=None, schema=""):
    tags = [experiment_pb2.Tag(key="mlflow.data.context", value=context)] if context else []
    dataset = run_pb2.Dataset(name=name, digest=digest, schema=schema)
    item = run_pb2.DatasetInput(dataset=dataset, tags=[*tags, experiment_pb2.Tag(key="other", value=run_id)])
    await runs.LogInputs(run_service_pb2.LogInputsRequest(run_id=run_id, datasets=[item]))


async def datasets(experiments, *experiment_ids, **fields):
    request = service.ListDatasetsRequest(experiment_ids=experiment_ids, **fields)
    return await experiments.ListDatasets(request)


def plain(answer):
    return [(item.experiment_id, item.name, item.digest, item.context) for item in answer.datasets]


@pytest.fixture
async def two(experiments):
    made = [await experiments.CreateExperiment(service.CreateExperimentRequest(name=name)) for name in "ab"]
    return [answer.experiment.experiment_id for answer in made]


async def test_each_dataset_and_context_is_told_once(experiments, runs, two):
    first, second = two
    for context in ("training", "training", "eval", None, None):
        await read(runs, await new_run(runs, first), "iris", context=context)
    await read(runs, await new_run(runs, first), "iris", "other digest")
    await read(runs, await new_run(runs, second), "wine", context="training")
    of_first = [
        (first, "iris", "d", ""),
        (first, "iris", "d", "eval"),
        (first, "iris", "d", "training"),
        (first, "iris", "other digest", ""),
    ]
    of_second = [(second, "wine", "d", "training")]
    assert plain(await datasets(experiments, first)) == of_first
    assert plain(await datasets(experiments, second, first, "4711")) == of_first + of_second
    assert plain(await datasets(experiments, "4711")) == []


async def test_runs_that_are_deleted_count(experiments, runs, two):
    run_id = await new_run(runs, two[0])
    await read(runs, run_id, "iris")
    await runs.DeleteRun(run_service_pb2.DeleteRunRequest(run_id=run_id))
    assert len((await datasets(experiments, two[0])).datasets) == 1


async def test_pages_go_on_where_the_last_one_ended(experiments, runs, two, refused):
    run_id, other = await new_run(runs, two[0]), await new_run(runs, two[0])
    for number in range(5):
        await read(runs, run_id, f"n{number}", schema="x" * 100_000)
        await read(runs, other, f"n{number}", context="c")
    whole = plain(await datasets(experiments, *two))
    assert len(whole) == 10
    paged, token = [], ""
    while True:
        page = await datasets(experiments, *two, page_size=3, page_token=token)
        paged += plain(page)
        token = page.next_page_token
        if not token:
            break
    assert paged == whole
    token = (await datasets(experiments, *two, page_size=3)).next_page_token
    await refused(datasets(experiments, two[0], page_token=token), "INVALID_ARGUMENT", "INVALID_PAGE_TOKEN")


@pytest.mark.parametrize(
    ("ids", "fields", "reason"),
    [
        pytest.param([], {}, "INVALID_VALUE", id="no experiment"),
        pytest.param(["x"], {}, "INVALID_NAME", id="no id"),
        pytest.param(["0"], {"page_size": -1}, "INVALID_VALUE", id="negative size"),
        pytest.param(["0"], {"page_size": 10_001}, "LIMIT_EXCEEDED", id="large size"),
        pytest.param(["0"], {"page_token": "x"}, "INVALID_PAGE_TOKEN", id="no token"),
    ],
)
async def test_bad_requests_are_refused(experiments, refused, ids, fields, reason):
    await refused(datasets(experiments, *ids, **fields), "INVALID_ARGUMENT", reason)
