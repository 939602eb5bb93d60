"""ModelService over a real socket."""

from __future__ import annotations

import re

import pytest

from holdfast.v1 import experiment_pb2 as experiment_pb
from holdfast.v1 import experiment_service_pb2, run_pb2, run_service_pb2
from holdfast.v1 import model_pb2 as pb
from holdfast.v1 import model_service_pb2 as service

Tag, Param = experiment_pb.Tag, run_pb2.Param
UNKNOWN = "m-" + "0" * 32


async def create(models, **fields):
    return (await models.CreateLoggedModel(service.CreateLoggedModelRequest(**fields))).model


async def get(models, model_id):
    return (await models.GetLoggedModel(service.GetLoggedModelRequest(model_id=model_id))).model


async def finalize(models, model_id, status, message=""):
    request = service.FinalizeLoggedModelRequest(model_id=model_id, status=status, status_message=message)
    return (await models.FinalizeLoggedModel(request)).model


@pytest.fixture
async def run(runs):
    return (await runs.CreateRun(run_service_pb2.CreateRunRequest())).run


async def test_created_model_is_pending_and_named(models):
    created = await create(models)
    assert re.fullmatch(r"m-[0-9a-f]{32}", created.model_id)
    assert re.fullmatch(r"[a-z]+-[a-z]+-\d{1,3}", created.name)
    assert (created.experiment_id, created.status) == ("0", pb.LOGGED_MODEL_STATUS_PENDING)
    assert await get(models, created.model_id) == created


async def test_model_belongs_to_the_experiment_of_its_run(models, runs, experiments):
    made = await experiments.CreateExperiment(experiment_service_pb2.CreateExperimentRequest(name="e"))
    started = await runs.CreateRun(run_service_pb2.CreateRunRequest(experiment_id=made.experiment.experiment_id))
    created = await create(
        models,
        name="tree",
        source_run_id=started.run.run_id,
        model_type="classifier",
        params=[Param(key="depth", value="3")],
        tags=[Tag(key="t", value="é" * 100_000)],
    )
    assert created.experiment_id == made.experiment.experiment_id
    assert (created.source_run_id, created.model_type) == (started.run.run_id, "classifier")
    assert [p.value for p in created.params] == ["3"]
    assert len(created.tags[0].value) == 100_000


async def test_create_is_idempotent_by_the_callers_id(models, refused):
    model_id = "m-" + "ab" * 16
    first = await create(models, model_id=model_id, name="n")
    assert await create(models, model_id=model_id, name="n") == first
    assert await create(models, model_id=model_id) == first
    await refused(create(models, model_id=model_id, name="other"), "ALREADY_EXISTS", "ALREADY_EXISTS")
    await refused(create(models, model_id="ab" * 16), "INVALID_ARGUMENT", "INVALID_NAME")


@pytest.mark.parametrize(
    "name", ["a/b", "a:b", "a.b", "a%b", 'a"b', "a'b", " a", "a ", "..", "a\nb", "a\\b", "a\u202eb"]
)
async def test_bad_names_are_refused(models, refused, name):
    assert (await refused(create(models, name=name), "INVALID_ARGUMENT", "INVALID_NAME")).field == "name"


async def test_parents_must_exist_and_be_active(models, runs, run, refused):
    await refused(create(models, experiment_id="9"), "NOT_FOUND", "EXPERIMENT_NOT_FOUND")
    await refused(create(models, source_run_id="0" * 32), "NOT_FOUND", "RUN_NOT_FOUND")
    await refused(create(models, experiment_id="0", source_run_id="0" * 32), "NOT_FOUND", "RUN_NOT_FOUND")
    await runs.DeleteRun(run_service_pb2.DeleteRunRequest(run_id=run.run_id))
    await refused(create(models, source_run_id=run.run_id), "FAILED_PRECONDITION", "DELETED")


@pytest.mark.parametrize("status", [pb.LOGGED_MODEL_STATUS_READY, pb.LOGGED_MODEL_STATUS_FAILED])
async def test_models_are_finalized_once(models, refused, status):
    created = await create(models)
    final = await finalize(models, created.model_id, status, "why")
    assert (final.status, final.status_message) == (status, "why")
    assert final.update_time.ToNanoseconds() >= created.update_time.ToNanoseconds()
    assert await finalize(models, created.model_id, status, "again") == final
    other = pb.LOGGED_MODEL_STATUS_READY + pb.LOGGED_MODEL_STATUS_FAILED - status
    error = await refused(finalize(models, created.model_id, other), "FAILED_PRECONDITION", "MODEL_FINALIZED")
    assert error.metadata["model_id"] == created.model_id


@pytest.mark.parametrize("status", [0, pb.LOGGED_MODEL_STATUS_PENDING, 9])
async def test_only_ready_and_failed_are_final(models, refused, status):
    created = await create(models)
    await refused(finalize(models, created.model_id, status), "INVALID_ARGUMENT", "INVALID_VALUE")


async def test_params_and_tags_change_after_the_end_too(models, refused):
    created = await create(models, params=[Param(key="a", value="1")], tags=[Tag(key="t", value="1")])
    await finalize(models, created.model_id, pb.LOGGED_MODEL_STATUS_READY)

    async def update(**fields):
        await models.UpdateLoggedModel(service.UpdateLoggedModelRequest(model_id=created.model_id, **fields))

    await update(params=[Param(key="a", value="1"), Param(key="b", value="2")], tags=[Tag(key="u", value="2")])
    await update(deleted_tag_keys=["t", "absent"])
    after = await get(models, created.model_id)
    assert [(p.key, p.value) for p in after.params] == [("a", "1"), ("b", "2")]
    assert [t.key for t in after.tags] == ["u"]
    await refused(update(params=[Param(key="a", value="2")]), "INVALID_ARGUMENT", "PARAM_IMMUTABLE")
    await refused(update(tags=[Tag(key="t", value="x" * 100_001)]), "INVALID_ARGUMENT", "LIMIT_EXCEEDED")


async def test_deleted_models_are_hidden_until_restored(models, refused):
    created = await create(models)
    await models.DeleteLoggedModel(service.DeleteLoggedModelRequest(model_id=created.model_id))
    await models.DeleteLoggedModel(service.DeleteLoggedModelRequest(model_id=created.model_id))
    await refused(get(models, created.model_id), "NOT_FOUND", "MODEL_NOT_FOUND")
    call = finalize(models, created.model_id, pb.LOGGED_MODEL_STATUS_READY)
    await refused(call, "FAILED_PRECONDITION", "DELETED")
    await models.RestoreLoggedModel(service.RestoreLoggedModelRequest(model_id=created.model_id))
    assert (await get(models, created.model_id)).lifecycle_stage == experiment_pb.LIFECYCLE_STAGE_ACTIVE


async def test_unknown_models(models, refused):
    for call in (
        get(models, UNKNOWN),
        finalize(models, UNKNOWN, pb.LOGGED_MODEL_STATUS_READY),
        models.UpdateLoggedModel(service.UpdateLoggedModelRequest(model_id=UNKNOWN)),
        models.DeleteLoggedModel(service.DeleteLoggedModelRequest(model_id=UNKNOWN)),
        models.RestoreLoggedModel(service.RestoreLoggedModelRequest(model_id=UNKNOWN)),
    ):
        error = await refused(call, "NOT_FOUND", "MODEL_NOT_FOUND")
        assert error.metadata == {"model_id": UNKNOWN}
    error = await refused(get(models, "nope"), "NOT_FOUND", "MODEL_NOT_FOUND")
    assert "the id of one is 'm-' and 32 lower-case hex digits" in error.message


async def test_long_models_come_in_pages(models):
    created = await create(models)
    for batch in range(4):
        tags = [Tag(key=f"t{batch}-{i:02}", value="x" * 100_000) for i in range(10)]
        await models.UpdateLoggedModel(service.UpdateLoggedModelRequest(model_id=created.model_id, tags=tags))
    keys, token, pages = [], "", 0
    while token or not pages:
        request = service.GetLoggedModelRequest(model_id=created.model_id, page_token=token)
        page = await models.GetLoggedModel(request)
        assert page.ByteSize() < 3 << 20
        keys += [t.key for t in page.model.tags]
        token, pages = page.next_page_token, pages + 1
    assert keys == [f"t{batch}-{i:02}" for batch in range(4) for i in range(10)]
    assert pages == 2


async def test_newest_ready_model_of_each_name_of_a_run(app, models, run):
    async def finalize(model, status):
        await models.FinalizeLoggedModel(service.FinalizeLoggedModelRequest(model_id=model.model_id, status=status))

    first = await create(models, name="tree", source_run_id=run.run_id)
    second = await create(models, name="tree", source_run_id=run.run_id)
    gone = await create(models, name="tree", source_run_id=run.run_id)
    other = await create(models, name="forest", source_run_id=run.run_id)
    failed = await create(models, name="tree", source_run_id=run.run_id)
    await create(models, name="tree", source_run_id=run.run_id)  # still being written
    await create(models, name="tree")
    for model in (first, second, gone, other):
        await finalize(model, 2)
    await finalize(failed, 3)
    await models.DeleteLoggedModel(service.DeleteLoggedModelRequest(model_id=gone.model_id))
    found = await app.database.read(lambda tx: tx.models.newest_by_name(run.run_id))
    assert found == [("forest", other.model_id), ("tree", second.model_id)]
    assert first.model_id != second.model_id
    assert await app.database.read(lambda tx: tx.models.newest_by_name("")) == []
