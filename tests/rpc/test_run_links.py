"""Links of runs in RunService: the datasets and models that go in, and the models that come out."""

from __future__ import annotations

import pytest
from tests.rpc.run_api import Tag, get

from holdfast.v1 import model_service_pb2
from holdfast.v1 import run_pb2 as pb
from holdfast.v1 import run_service_pb2 as service


def dataset(name="d", digest="1", tags=(), **fields):
    return pb.DatasetInput(
        dataset=pb.Dataset(name=name, digest=digest, **fields),
        tags=[Tag(key=key, value=value) for key, value in tags],
    )


async def test_inputs_and_outputs_are_linked(runs, run, models):
    made = await models.CreateLoggedModel(model_service_pb2.CreateLoggedModelRequest(name="m"))
    model_id = made.model.model_id
    request = service.LogInputsRequest(
        run_id=run.run_id,
        datasets=[dataset(source_type="local", source="{}", schema="{}", tags=[("mlflow.data.context", "train")])],
        models=[pb.ModelInput(model_id=model_id)],
    )
    await runs.LogInputs(request)
    await runs.LogInputs(request)
    for step in (1, 4):
        outputs = [pb.ModelOutput(model_id=model_id, step=step)]
        await runs.LogOutputs(service.LogOutputsRequest(run_id=run.run_id, models=outputs))
    after = await get(runs, run.run_id)
    assert list(after.dataset_inputs) == list(request.datasets)
    assert list(after.model_inputs) == list(request.models)
    assert [(o.model_id, o.step) for o in after.model_outputs] == [(model_id, 4)]


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        pytest.param(dataset(name=""), "INVALID_NAME", id="no name"),
        pytest.param(dataset(digest=""), "INVALID_NAME", id="no digest"),
        pytest.param(dataset(name="n" * 501), "LIMIT_EXCEEDED", id="long name"),
        pytest.param(dataset(digest="n" * 37), "LIMIT_EXCEEDED", id="long digest"),
        pytest.param(dataset(source="n" * 65_536), "LIMIT_EXCEEDED", id="long source"),
        pytest.param(dataset(schema="n" * 1_048_577), "LIMIT_EXCEEDED", id="long schema"),
        pytest.param(dataset(profile="é" * 524_289), "LIMIT_EXCEEDED", id="long profile"),
        pytest.param(dataset(tags=[("k", "v" * 501)]), "LIMIT_EXCEEDED", id="long tag"),
        pytest.param(dataset(tags=[(f"k{i}", "v") for i in range(101)]), "LIMIT_EXCEEDED", id="many tags"),
    ],
)
async def test_bad_dataset_inputs_are_refused(runs, run, refused, item, reason):
    call = runs.LogInputs(service.LogInputsRequest(run_id=run.run_id, datasets=[item]))
    await refused(call, "INVALID_ARGUMENT", reason)


async def test_large_datasets_come_one_per_page(runs, run):
    for name in ("a", "b", "c"):
        item = dataset(name=name, schema="s" * 1_048_576, profile="p" * 1_048_576)
        await runs.LogInputs(service.LogInputsRequest(run_id=run.run_id, datasets=[item]))
    names, token, first = [], "", True
    while token or first:
        page = await runs.GetRun(service.GetRunRequest(run_id=run.run_id, page_token=token))
        assert page.ByteSize() < 3 << 20
        names += [item.dataset.name for item in page.run.dataset_inputs]
        token, first = page.next_page_token, False
    assert names == ["a", "b", "c"]


async def test_links_to_unknown_models_are_refused(runs, run, refused):
    unknown = "m-" + "0" * 32
    inputs = service.LogInputsRequest(run_id=run.run_id, models=[pb.ModelInput(model_id=unknown)])
    await refused(runs.LogInputs(inputs), "NOT_FOUND", "MODEL_NOT_FOUND")
    outputs = service.LogOutputsRequest(run_id=run.run_id, models=[pb.ModelOutput(model_id=unknown)])
    await refused(runs.LogOutputs(outputs), "NOT_FOUND", "MODEL_NOT_FOUND")
    too_many = service.LogOutputsRequest(run_id=run.run_id, models=[pb.ModelOutput(model_id=unknown)] * 101)
    await refused(runs.LogOutputs(too_many), "INVALID_ARGUMENT", "LIMIT_EXCEEDED")
