"""Watches over a real socket: they miss nothing, repeat nothing, and cost little."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from tests.rpc.artifact_api import inline

from holdfast.v1 import (
    artifact_pb2,
    event_pb2,
    experiment_pb2,
    experiment_service_pb2,
    model_registry_service_pb2,
    run_pb2,
    run_service_pb2,
    storage_service_pb2,
    storage_service_pb2_grpc,
)
from holdfast_server.app import App
from holdfast_server.rpc import watches
from holdfast_server.services import event_hub
from holdfast_server.storage.sql import events as sql_events

Tag = experiment_pb2.Tag
TIMEOUT_S = 120


@asynccontextmanager
async def watching(call: Any) -> AsyncIterator[Any]:
    """A watch that is ended with the block."""
    try:
        yield call
    finally:
        call.cancel()


async def take(call: Any, count: int) -> list[Any]:
    """The next messages, without heartbeats."""
    taken: list[Any] = []
    while len(taken) < count:
        response = await asyncio.wait_for(call.read(), TIMEOUT_S)
        assert response is not grpc.aio.EOF, f"it ended after {taken}"
        if response.WhichOneof("part") != "heartbeat":
            taken.append(response)
    return taken


async def end_of(call: Any) -> grpc.aio.AioRpcError:
    """The error that a watch ends with."""
    try:
        while await asyncio.wait_for(call.read(), TIMEOUT_S) is not grpc.aio.EOF:
            pass
    except grpc.aio.AioRpcError as error:
        return error
    raise AssertionError("it ended well")


def told(responses: list[Any]) -> list[tuple[str, str | None]]:
    """For each event the first field and its new value."""
    return [(r.event.changes[0].field, r.event.changes[0].new_value) for r in responses]


def watch_run(runs: Any, run_id: str, **fields: Any) -> Any:
    return runs.WatchRun(run_service_pb2.WatchRunRequest(run_id=run_id, **fields))


def watch_model(registry: Any, name: str = "m", **fields: Any) -> Any:
    return registry.WatchRegisteredModel(model_registry_service_pb2.WatchRegisteredModelRequest(name=name, **fields))


async def new_run(runs: Any, **fields: Any) -> str:
    return (await runs.CreateRun(run_service_pb2.CreateRunRequest(**fields))).run.run_id


async def set_tag(runs: Any, run_id: str, key: str) -> None:
    await runs.LogBatch(run_service_pb2.LogBatchRequest(run_id=run_id, tags=[Tag(key=key, value="1")]))


async def log_metrics(runs: Any, run_id: str, count: int = 1) -> None:
    metrics = [run_pb2.Metric(key="loss", value=i, step=i) for i in range(count)]
    await runs.LogBatch(run_service_pb2.LogBatchRequest(run_id=run_id, metrics=metrics))


async def execute(app: App, statement: str) -> None:
    await app.database.write(lambda tx: tx._connection.execute(statement).rowcount)  # type: ignore[attr-defined]


async def test_a_watch_begins_with_the_run_as_it_is_and_goes_on_with_changes(runs):
    run_id = await new_run(runs, run_name="first")
    await set_tag(runs, run_id, "before")
    async with watching(watch_run(runs, run_id)) as call:
        (state,) = await take(call, 1)
        assert {tag.key for tag in state.run.tags} == {"before", "mlflow.runName"}
        await set_tag(runs, run_id, "after")
        await log_metrics(runs, run_id, 10)
        end = run_service_pb2.UpdateRunRequest(run_id=run_id, status=run_pb2.RUN_STATUS_FINISHED)
        await runs.UpdateRun(end)
        tagged, logged, ended = await take(call, 3)
    assert told([tagged, ended]) == [("tags.after", "1"), ("status", "FINISHED")]
    assert ended.event.changes[0].old_value == "RUNNING"
    assert [(m.key, m.step, m.point_count) for m in logged.event.metrics] == [("loss", 9, 10)]
    assert {event.event.run_id for event in (tagged, logged, ended)} == {run_id}


async def test_changes_of_others_are_not_told(runs):
    run_id, other = await new_run(runs), await new_run(runs)
    async with watching(watch_run(runs, run_id)) as call:
        await take(call, 1)
        await set_tag(runs, other, "not mine")
        await set_tag(runs, run_id, "mine")
        assert told(await take(call, 1)) == [("tags.mine", "1")]


async def test_a_watch_goes_on_behind_any_cursor(runs):
    run_id, other = await new_run(runs), await new_run(runs)
    async with watching(watch_run(runs, run_id)) as call:
        cursors = [(await take(call, 1))[0].cursor]
        for number in range(5):
            await set_tag(runs, run_id, f"t{number}")
            await set_tag(runs, other, f"t{number}")
        cursors += [response.cursor for response in await take(call, 5)]
    for seen, cursor in enumerate(cursors):
        async with watching(watch_run(runs, run_id, cursor=cursor)) as call:
            first = await asyncio.wait_for(call.read(), TIMEOUT_S)
            assert first.WhichOneof("part") == "heartbeat"
            await set_tag(runs, run_id, "last")
            expected = [*(f"tags.t{number}" for number in range(seen, 5)), *["tags.last"] * (seen + 1)]
            assert [field for field, _ in told(await take(call, len(expected)))] == expected


async def test_heartbeats_come_while_nothing_happens_and_move_the_cursor(runs, app, monkeypatch):
    monkeypatch.setattr(watches, "HEARTBEAT", 0.05)
    run_id, other = await new_run(runs), await new_run(runs)
    async with watching(watch_run(runs, run_id)) as call:
        (state,) = await take(call, 1)
        await log_metrics(runs, other)
        cursor = state.cursor
        while cursor == state.cursor:
            response = await asyncio.wait_for(call.read(), TIMEOUT_S)
            assert response.WhichOneof("part") == "heartbeat"
            cursor = response.cursor
    # What the cursor has passed may be forgotten; what it has not may not.
    await execute(app, "UPDATE events SET time = 0")
    await app.database.maintain()
    async with watching(watch_run(runs, run_id, cursor=cursor)) as call:
        assert (await asyncio.wait_for(call.read(), TIMEOUT_S)).cursor == cursor


@pytest.mark.parametrize("forged", ["{cursor}AAAA", "{cursor}{cursor}", "x", "é", "AAAA{cursor}"])
async def test_forged_cursors_are_refused(runs, refused, forged):
    run_id = await new_run(runs)
    async with watching(watch_run(runs, run_id)) as call:
        cursor = (await take(call, 1))[0].cursor
    refusal = await refused(
        watch_run(runs, run_id, cursor=forged.format(cursor=cursor)).read(), "INVALID_ARGUMENT", "INVALID_CURSOR"
    )
    assert refusal.field == "cursor"


async def test_a_cursor_is_good_for_its_own_watch_only(runs, experiments, registry, refused):
    run_id, other = await new_run(runs), await new_run(runs)
    async with watching(watch_run(runs, run_id)) as call:
        cursor = (await take(call, 1))[0].cursor
    calls = [
        watch_run(runs, other, cursor=cursor),
        experiments.WatchExperiment(experiment_service_pb2.WatchExperimentRequest(experiment_id="0", cursor=cursor)),
        watch_model(registry, run_id, cursor=cursor),
    ]
    for call in calls:
        await refused(call.read(), "INVALID_ARGUMENT", "INVALID_CURSOR")


async def test_a_cursor_whose_events_are_forgotten_is_out_of_range(runs, app, refused):
    run_id = await new_run(runs)
    async with watching(watch_run(runs, run_id)) as call:
        cursor = (await take(call, 1))[0].cursor
    await set_tag(runs, run_id, "t1")
    await set_tag(runs, run_id, "t2")
    await execute(app, "UPDATE events SET time = 0")
    await app.database.maintain()
    refusal = await refused(watch_run(runs, run_id, cursor=cursor).read(), "OUT_OF_RANGE", "CURSOR_EXPIRED")
    assert "List again" in refusal.message


async def test_a_cursor_from_after_a_restored_backup_is_out_of_range(runs, app, refused):
    run_id = await new_run(runs)
    await set_tag(runs, run_id, "t1")
    async with watching(watch_run(runs, run_id)) as call:
        cursor = (await take(call, 1))[0].cursor
    await execute(app, "DELETE FROM events WHERE sequence = (SELECT MAX(sequence) FROM events)")
    await refused(watch_run(runs, run_id, cursor=cursor).read(), "OUT_OF_RANGE", "CURSOR_EXPIRED")


async def test_a_slow_reader_gets_all_in_order_from_the_table(runs, app, monkeypatch):
    monkeypatch.setattr(event_hub, "QUEUE", 5)
    monkeypatch.setattr(event_hub, "PAGE", 7)
    run_id = await new_run(runs)
    big = "v" * 500
    async with watching(watch_run(runs, run_id)) as call:
        await take(call, 1)
        # More than the windows of the stream hold.
        for number in range(300):
            tags = [Tag(key=f"t{number}.{i}", value=big) for i in range(20)]
            await runs.LogBatch(run_service_pb2.LogBatchRequest(run_id=run_id, tags=tags))
        (watch,) = next(iter(app._hub._watches.values()))
        assert len(watch._waiting) <= 6
        fields = [field for field, _ in told(await take(call, 300))]
        assert fields == [f"tags.t{number}.0" for number in range(300)]
        await set_tag(runs, run_id, "live again")
        assert told(await take(call, 1)) == [("tags.live again", "1")]


async def test_only_wanted_types_are_told(runs, experiments):
    run_id = await new_run(runs)
    wanted = [event_pb2.EVENT_TYPE_UPDATED]
    request = experiment_service_pb2.WatchExperimentRequest(experiment_id="0", types=wanted)
    async with watching(experiments.WatchExperiment(request)) as call:
        (state,) = await take(call, 1)
        assert state.experiment.name == "Default"
        await log_metrics(runs, run_id)
        await set_tag(runs, run_id, "t")
        assert told(await take(call, 1)) == [("tags.t", "1")]


async def test_unknown_types_are_refused(runs, refused):
    run_id = await new_run(runs)
    await refused(watch_run(runs, run_id, types=[99]).read(), "INVALID_ARGUMENT", "INVALID_VALUE")


async def test_an_experiment_tells_of_its_runs_and_models(runs, experiments):
    request = experiment_service_pb2.CreateExperimentRequest(name="e")
    experiment_id = (await experiments.CreateExperiment(request)).experiment.experiment_id
    await new_run(runs)
    request = experiment_service_pb2.WatchExperimentRequest(experiment_id=experiment_id)
    async with watching(experiments.WatchExperiment(request)) as call:
        await take(call, 1)
        run_id = await new_run(runs, experiment_id=experiment_id)
        await new_run(runs)
        await set_tag(runs, run_id, "t")
        created, tagged = await take(call, 2)
    assert (created.event.type, created.event.run_id) == (event_pb2.EVENT_TYPE_CREATED, run_id)
    assert told([tagged]) == [("tags.t", "1")]


async def test_a_run_is_told_that_its_experiment_is_deleted_and_restored(runs, experiments):
    request = experiment_service_pb2.CreateExperimentRequest(name="e")
    experiment_id = (await experiments.CreateExperiment(request)).experiment.experiment_id
    run_id = await new_run(runs, experiment_id=experiment_id)
    async with watching(watch_run(runs, run_id)) as call:
        (state,) = await take(call, 1)
        await experiments.DeleteExperiment(experiment_service_pb2.DeleteExperimentRequest(experiment_id=experiment_id))
        await experiments.RestoreExperiment(
            experiment_service_pb2.RestoreExperimentRequest(experiment_id=experiment_id)
        )
        found = await take(call, 2)
    deleted, restored = event_pb2.EVENT_TYPE_DELETED, event_pb2.EVENT_TYPE_RESTORED
    assert [response.event.type for response in found] == [deleted, restored]
    async with watching(watch_run(runs, run_id, cursor=state.cursor)) as call:
        assert [response.event.type for response in await take(call, 2)] == [deleted, restored]


@pytest.fixture
async def model(api, runs, registry) -> str:
    """A registered model "m" with two versions; returns what they were made of."""
    run_id = await new_run(runs)
    await api.commit(artifact_pb2.TreeOwner(run_id=run_id), inline("model/MLmodel"))
    for _ in range(2):
        request = model_registry_service_pb2.CreateModelVersionRequest(
            name="m", source=f"runs:/{run_id}/model", create_registered_model=True
        )
        await registry.CreateModelVersion(request)
    return run_id


async def set_alias(registry: Any, alias: str, version: int, name: str = "m") -> None:
    request = model_registry_service_pb2.SetAliasRequest(name=name, alias=alias, version=version)
    await registry.SetAlias(request)


async def test_an_alias_is_watched_alone(registry, model):
    await set_alias(registry, "prod", 1)
    async with watching(watch_model(registry, alias="prod")) as call:
        (state,) = await take(call, 1)
        assert [(a.alias, a.version) for a in state.registered_model.aliases] == [("prod", 1)]
        await set_alias(registry, "other", 1)
        await set_alias(registry, "prod", 2)
        await registry.DeleteAlias(model_registry_service_pb2.DeleteAliasRequest(name="m", alias="prod"))
        moved, removed = await take(call, 2)
    assert (moved.event.alias, moved.event.version, moved.event.changes[0].old_value) == ("prod", 2, "1")
    assert (removed.event.type, removed.event.version) == (event_pb2.EVENT_TYPE_DELETED, 0)


async def test_a_registered_model_is_watched_under_another_name_and_until_it_is_deleted(registry, model):
    async with watching(watch_model(registry, alias="prod")) as call:
        (state,) = await take(call, 1)
        request = model_registry_service_pb2.UpdateRegisteredModelRequest(name="m", new_name="n")
        await registry.UpdateRegisteredModel(request)
        await set_alias(registry, "prod", 1, name="n")
        await registry.DeleteRegisteredModel(model_registry_service_pb2.DeleteRegisteredModelRequest(name="n"))
        renamed, moved, deleted = await take(call, 3)
        assert await asyncio.wait_for(call.read(), TIMEOUT_S) is grpc.aio.EOF
    assert told([renamed]) == [("name", "n")]
    assert (moved.event.name, moved.event.alias) == ("n", "prod")
    # The next of the name is another one, even where the database gives it the same number.
    await registry.CreateRegisteredModel(model_registry_service_pb2.CreateRegisteredModelRequest(name="m"))
    async with watching(watch_model(registry, alias="prod", cursor=state.cursor)) as call:
        assert [r.cursor for r in await take(call, 3)] == [renamed.cursor, moved.cursor, deleted.cursor]
        assert await asyncio.wait_for(call.read(), TIMEOUT_S) is grpc.aio.EOF
    call = watch_model(registry, cursor=deleted.cursor)
    assert await asyncio.wait_for(call.read(), TIMEOUT_S) is grpc.aio.EOF


async def test_what_is_not_there_cannot_be_watched(runs, experiments, registry, refused):
    request = experiment_service_pb2.WatchExperimentRequest(experiment_id="77")
    calls = {
        "RUN_NOT_FOUND": watch_run(runs, "0" * 32),
        "EXPERIMENT_NOT_FOUND": experiments.WatchExperiment(request),
        "REGISTERED_MODEL_NOT_FOUND": watch_model(registry, "none"),
    }
    for reason, call in calls.items():
        await refused(call.read(), "NOT_FOUND", reason)


async def test_a_stopping_server_ends_watches_at_once(runs, app):
    run_id = await new_run(runs)
    async with watching(watch_run(runs, run_id)) as call:
        await take(call, 1)
        stopping = asyncio.create_task(app.stop())
        assert (await end_of(call)).code() is grpc.StatusCode.UNAVAILABLE
        await asyncio.wait_for(stopping, TIMEOUT_S)


async def test_nothing_is_read_while_nobody_watches(runs, app):
    run_id = await new_run(runs)
    async with watching(watch_run(runs, run_id)) as call:
        await take(call, 1)
        assert app._hub._task is not None
    await asyncio.wait_for(app._hub._task, TIMEOUT_S)
    await set_tag(runs, run_id, "t")
    assert app._hub._task is None


async def test_many_watches_take_no_thread_each_and_miss_nothing(runs, app):
    run_ids = [await new_run(runs) for _ in range(10)]
    threads = threading.active_count()
    calls = [watch_run(runs, run_ids[number % 10]) for number in range(1_000)]
    await asyncio.gather(*[take(call, 1) for call in calls])
    assert threading.active_count() - threads <= 3  # the readers of the database begin when they are needed
    await asyncio.gather(*[set_tag(runs, run_id, "t") for run_id in run_ids])
    found = await asyncio.gather(*[take(call, 1) for call in calls])
    assert all(told(responses) == [("tags.t", "1")] for responses in found)
    for call in calls:
        call.cancel()


async def test_events_are_forgotten_after_a_week_or_when_there_are_too_many(runs, app, monkeypatch):
    run_id = await new_run(runs)
    for number in range(10):
        await set_tag(runs, run_id, f"t{number}")

    async def kept() -> list[int]:
        return [e.sequence for e in await app.database.read(lambda tx: tx.events.list_all(0, 100))]

    everything = await kept()
    await app.database.maintain()
    assert await kept() == everything
    # A clock that was set back must not make a hole: what is kept is the whole end.
    await execute(app, f"UPDATE events SET time = 0 WHERE sequence < {everything[3]} OR sequence > {everything[5]}")
    await app.database.maintain()
    assert await kept() == everything[3:]
    await execute(app, "UPDATE events SET time = 9000000000000")
    monkeypatch.setattr(sql_events, "MAX_KEPT", 2)
    await app.database.maintain()
    assert await kept() == everything[-2:]
    await execute(app, "UPDATE events SET time = 0")
    await app.database.maintain()
    assert await kept() == everything[-1:], "its number must not come again"


async def test_a_watch_of_a_run_ends_when_the_run_is_gone_for_good(runs, experiments, channel):
    run_id = await new_run(runs)
    upkeep = storage_service_pb2_grpc.StorageServiceStub(channel)
    request = experiment_service_pb2.WatchExperimentRequest(experiment_id="0")
    async with watching(watch_run(runs, run_id)) as call, watching(experiments.WatchExperiment(request)) as around:
        (state,) = await take(call, 1)
        await take(around, 1)
        await runs.DeleteRun(run_service_pb2.DeleteRunRequest(run_id=run_id))
        await asyncio.sleep(0.002)  # what was deleted in this very millisecond is not older than zero
        async for _ in upkeep.CollectGarbage(storage_service_pb2.CollectGarbageRequest(purge_deleted=Duration())):
            pass
        deleted, purged = await take(call, 2)
        assert await asyncio.wait_for(call.read(), TIMEOUT_S) is grpc.aio.EOF
        await new_run(runs)
        told_around = await take(around, 3)
    kinds = [event_pb2.EVENT_TYPE_DELETED, event_pb2.EVENT_TYPE_PURGED]
    assert [response.event.type for response in (deleted, purged)] == kinds
    assert (purged.event.run_id, purged.event.experiment_id) == (run_id, "0")
    assert [r.event.type for r in told_around] == [*kinds, event_pb2.EVENT_TYPE_CREATED]
    # Who was away meanwhile is told too, though the run is not there any more.
    async with watching(watch_run(runs, run_id, cursor=state.cursor, types=[event_pb2.EVENT_TYPE_METRICS])) as call:
        assert [r.cursor for r in await take(call, 1)] == [purged.cursor]
        assert await asyncio.wait_for(call.read(), TIMEOUT_S) is grpc.aio.EOF
    call = watch_run(runs, run_id, cursor=purged.cursor)
    assert await asyncio.wait_for(call.read(), TIMEOUT_S) is grpc.aio.EOF
