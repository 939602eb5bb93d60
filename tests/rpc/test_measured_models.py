"""Logged models searched and ordered by the datasets that their metrics were measured on."""

from __future__ import annotations

import pytest

from holdfast.v1 import model_service_pb2 as service
from holdfast.v1 import run_pb2, run_service_pb2

Metric = run_pb2.Metric


@pytest.fixture
async def measured(runs, models):
    """Three models: a is best on iris, b on wine, and c was measured without a dataset."""
    run_id = (await runs.CreateRun(run_service_pb2.CreateRunRequest())).run.run_id
    points = {
        "a": [("iris", "d1", 0.9, 1), ("wine", "d2", 0.1, 2)],
        "b": [("iris", "d1", 0.5, 1), ("iris", "d9", 0.8, 3), ("wine", "d2", 0.7, 2)],
        "c": [("", "", 0.6, 1)],
    }
    for name, measured in points.items():
        made = await models.CreateLoggedModel(service.CreateLoggedModelRequest(name=name, source_run_id=run_id))
        metrics = [
            Metric(key="acc", value=value, step=step, model_id=made.model.model_id, dataset_name=d, dataset_digest=g)
            for d, g, value, step in measured
        ]
        await runs.LogBatch(run_service_pb2.LogBatchRequest(run_id=run_id, metrics=metrics))


async def names(models, *datasets, **fields):
    request = service.SearchLoggedModelsRequest(
        experiment_ids=["0"], datasets=[service.DatasetName(name=d[0], digest=d[1]) for d in datasets], **fields
    )
    return [model.name for model in (await models.SearchLoggedModels(request)).models]


async def found(models, *datasets, filter_="", order_by=("name",)):
    return "".join(await names(models, *datasets, filter=filter_, order_by=order_by))


async def test_conditions_look_at_the_datasets_that_are_named(models, measured):
    assert await found(models, filter_="metrics.acc > 0.75") == "ab"
    assert await found(models, ("wine", ""), filter_="metrics.acc > 0.6") == "b"
    assert await found(models, ("iris", "d1"), filter_="metrics.acc > 0.6") == "a"
    assert await found(models, ("iris", ""), filter_="metrics.acc > 0.6") == "ab"
    assert await found(models, ("iris", "d1"), ("wine", ""), filter_="metrics.acc > 0.6") == "ab"
    assert await found(models, ("mnist", ""), filter_="metrics.acc > 0") == ""


async def test_without_conditions_models_are_found_that_were_measured(models, measured):
    assert await found(models) == "abc"
    assert await found(models, ("iris", "")) == "ab"
    assert await found(models, ("iris", "d9")) == "b"
    assert await found(models, ("iris", ""), filter_="name != 'a'") == "b"


@pytest.mark.parametrize(
    ("order_by", "expected"),
    [
        ("metrics.acc DESC", "bca"),
        ("metrics.acc DESC DATASET 'wine'", "bac"),
        ("metrics.acc DATASET 'wine'", "abc"),
        ("metrics.acc DESC dataset 'iris' digest 'd1'", "abc"),
        ("metrics.acc DATASET 'iris' DIGEST 'd1'", "bac"),
        ("metrics.acc ASC DATASET \"iris\" DIGEST 'd9'", "bac"),
    ],
)
async def test_models_are_ordered_by_a_dataset(models, measured, order_by, expected):
    assert await found(models, order_by=[order_by, "name"]) == expected
    pages = []
    token, first = "", True
    while token or first:
        request = service.SearchLoggedModelsRequest(
            experiment_ids=["0"], order_by=[order_by, "name"], page_size=1, page_token=token
        )
        page = await models.SearchLoggedModels(request)
        pages += [model.name for model in page.models]
        token, first = page.next_page_token, False
    assert "".join(pages) == expected


@pytest.mark.parametrize(
    ("order_by", "column"),
    [
        ("metrics.acc DATASET", 20),
        ("metrics.acc DATASET iris", 21),
        ("metrics.acc DATASET ''", 21),
        ("metrics.acc DATASET 'iris' DIGEST", 34),
        ("metrics.acc DIGEST 'd1'", 13),
        ("name DATASET 'iris'", 6),
        ("params.p DATASET 'iris'", 10),
    ],
)
async def test_bad_datasets_of_an_ordering_are_pointed_at(models, refused, order_by, column):
    call = names(models, order_by=[order_by])
    assert (await refused(call, "INVALID_ARGUMENT", "INVALID_FILTER")).metadata["column"] == str(column)


async def test_runs_have_no_datasets_to_order_by(runs, refused):
    request = run_service_pb2.SearchRunsRequest(experiment_ids=["0"], order_by=["metrics.acc DATASET 'iris'"])
    await refused(runs.SearchRuns(request), "INVALID_ARGUMENT", "INVALID_FILTER")


async def test_datasets_are_named_and_few(models, refused):
    await refused(names(models, ("", "d1")), "INVALID_ARGUMENT", "INVALID_VALUE")
    await refused(names(models, *[("d", "")] * 101), "INVALID_ARGUMENT", "LIMIT_EXCEEDED")


async def test_models_hold_the_fields_that_are_asked_for(models, measured):
    request = service.SearchLoggedModelsRequest(experiment_ids=["0"], fields=["metrics.acc"], order_by=["name"])
    first = (await models.SearchLoggedModels(request)).models[0]
    assert [(m.dataset_name, m.value) for m in first.metrics] == [("iris", 0.9), ("wine", 0.1)]
    request.fields[:] = ["attributes"]
    assert not (await models.SearchLoggedModels(request)).models[0].metrics


async def test_deleted_models_are_read_on_request(models, measured, refused):
    (model, *_) = (await models.SearchLoggedModels(service.SearchLoggedModelsRequest(experiment_ids=["0"]))).models
    await models.DeleteLoggedModel(service.DeleteLoggedModelRequest(model_id=model.model_id))
    request = service.GetLoggedModelRequest(model_id=model.model_id)
    await refused(models.GetLoggedModel(request), "NOT_FOUND", "MODEL_NOT_FOUND")
    request.allow_deleted = True
    assert (await models.GetLoggedModel(request)).model.name == model.name
