"""What is promised between processes, on two servers that share one data directory."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import grpc
import pytest
from tests.rpc.artifact_api import ArtifactApi, commit_parts, inline
from tests.server_process import running_server

from holdfast.v1 import artifact_pb2, artifact_service_pb2, artifact_service_pb2_grpc, experiment_pb2, run_pb2
from holdfast.v1 import experiment_service_pb2 as experiment_service
from holdfast.v1 import experiment_service_pb2_grpc as experiment_grpc
from holdfast.v1 import model_registry_service_pb2 as registry_service
from holdfast.v1 import model_registry_service_pb2_grpc as registry_grpc
from holdfast.v1 import run_service_pb2 as run_service
from holdfast.v1 import run_service_pb2_grpc as run_grpc
from holdfast_server.services.commits import FIRST_STAGE_SIZE


@pytest.fixture
async def channels(tmp_path: Path) -> AsyncIterator[list[grpc.aio.Channel]]:
    """One channel to each of the two."""
    arguments = ["--host", "127.0.0.1", "--port", "0", "--data-dir", str(tmp_path / "data")]
    with running_server(*arguments) as first, running_server(*arguments) as second:
        async with AsyncExitStack() as stack:
            yield [
                await stack.enter_async_context(grpc.aio.insecure_channel(server.address.rpartition("/")[2]))
                for server in (first, second)
            ]


async def outcomes(calls) -> list[str]:
    """Status codes of concurrent calls, "OK" for those that succeeded."""
    results = await asyncio.gather(*calls, return_exceptions=True)
    return ["OK" if not isinstance(r, grpc.aio.AioRpcError) else r.code().name for r in results]


async def test_a_name_is_given_once(channels):
    stubs = [experiment_grpc.ExperimentServiceStub(channel) for channel in channels]
    request = experiment_service.CreateExperimentRequest(name="contended")
    found = await outcomes([stub.CreateExperiment(request) for stub in stubs for _ in range(10)])
    assert sorted(found) == ["ALREADY_EXISTS"] * 19 + ["OK"]


async def test_a_retry_at_the_other_server_has_one_effect(channels):
    stubs = [experiment_grpc.ExperimentServiceStub(channel) for channel in channels]
    request = experiment_service.CreateExperimentRequest(name="once", request_id="r")
    answers = await asyncio.gather(*[stub.CreateExperiment(request) for stub in stubs for _ in range(10)])
    assert len({answer.experiment.experiment_id for answer in answers}) == 1


async def test_replayed_batches_of_a_writer_are_kept_once(channels):
    first, second = [run_grpc.RunServiceStub(channel) for channel in channels]
    run_id = (await first.CreateRun(run_service.CreateRunRequest())).run.run_id
    for start in range(0, 200, 20):
        metrics = [run_pb2.Metric(key="m", step=i, value=i) for i in range(start, start + 20)]
        request = run_service.LogBatchRequest(run_id=run_id, metrics=metrics, writer_id="w", writer_sequence=start)
        answers = await asyncio.gather(first.LogBatch(request), second.LogBatch(request))
        assert [a.next_writer_sequence for a in answers] == [start + 20] * 2
    request = run_service.ListMetricHistoryRequest(run_id=run_id, key="m")
    assert [m.step for m in (await second.ListMetricHistory(request)).metrics] == list(range(200))


async def test_page_tokens_of_one_server_serve_at_the_other(channels):
    first, second = [run_grpc.RunServiceStub(channel) for channel in channels]
    for i in range(3):
        await first.CreateRun(run_service.CreateRunRequest(run_name=f"r{i}"))
    request = run_service.SearchRunsRequest(experiment_ids=["0"], order_by=["run_name"], page_size=2)
    page = await first.SearchRuns(request)
    request.page_token = page.next_page_token
    assert [run.run_name for run in (await second.SearchRuns(request)).runs] == ["r2"]


async def test_versions_are_numbered_and_aliases_compared_across_servers(channels):
    runs, artifacts = run_grpc.RunServiceStub(channels[0]), artifact_service_pb2_grpc.ArtifactServiceStub(channels[0])
    run_id = (await runs.CreateRun(run_service.CreateRunRequest())).run.run_id
    header = artifact_service_pb2.CommitHeader(owner=artifact_pb2.TreeOwner(run_id=run_id))
    entry = artifact_service_pb2.NewEntry(
        path="model/MLmodel", kind=artifact_pb2.ENTRY_KIND_FILE, size=1, inline_data=b"x"
    )
    entries = artifact_service_pb2.CommitEntries(entries=[entry])
    await artifacts.CommitFiles(
        iter(
            [
                artifact_service_pb2.CommitFilesRequest(header=header),
                artifact_service_pb2.CommitFilesRequest(entries=entries),
                artifact_service_pb2.CommitFilesRequest(end=artifact_service_pb2.CommitEnd(entry_count=1)),
            ]
        )
    )
    stubs = [registry_grpc.ModelRegistryServiceStub(channel) for channel in channels]
    request = registry_service.CreateModelVersionRequest(
        name="m", source=f"runs:/{run_id}/model", create_registered_model=True
    )
    made = await asyncio.gather(*[stub.CreateModelVersion(request) for stub in stubs for _ in range(10)])
    versions = [answer.model_version for answer in made]
    assert sorted(v.version for v in versions) == list(range(1, 21))
    assert {(v.path, v.run_id, v.tree.owner.run_id, v.tree.file_count) for v in versions} == {
        ("model", run_id, run_id, 1)
    }
    found = await outcomes(
        [
            stubs[v % 2].SetAlias(registry_service.SetAliasRequest(name="m", alias="a", version=v, expected_version=0))
            for v in range(1, 21)
        ]
    )
    assert sorted(found) == ["ABORTED"] * 19 + ["OK"]


async def registered(channels, versions: int) -> list[registry_grpc.ModelRegistryServiceStub]:
    """Stubs of both, with that many versions of m."""
    api = ArtifactApi(channels[0])
    owner = await api.new_run()
    await api.commit(owner, inline("model/MLmodel"))
    stubs = [registry_grpc.ModelRegistryServiceStub(channel) for channel in channels]
    request = registry_service.CreateModelVersionRequest(
        name="m", source=f"runs:/{owner.run_id}/model", create_registered_model=True
    )
    for _ in range(versions):
        await stubs[0].CreateModelVersion(request)
    return stubs


async def test_one_of_many_promotions_that_race_wins_across_servers(channels):
    stubs = await registered(channels, 20)
    await stubs[0].SetAlias(registry_service.SetAliasRequest(name="m", alias="prod", version=1))
    for round_ in range(5):
        model = await stubs[0].GetRegisteredModel(registry_service.GetRegisteredModelRequest(name="m"))
        now = next(alias.version for alias in model.registered_model.aliases if alias.alias == "prod")
        requests = [
            registry_service.PromoteModelVersionRequest(
                name="m",
                version=version,
                aliases=[registry_service.AliasChange(alias="prod", expected_version=now)],
                tags=[experiment_pb2.Tag(key=f"won{round_}", value="yes")],
                user_id=f"client {version}",
                request_id=f"{round_} {version}".replace(" ", "-"),
            )
            for version in range(1, 21)
            if version != now
        ]
        found = await outcomes([stubs[i % 2].PromoteModelVersion(request) for i, request in enumerate(requests)])
        assert sorted(found) == ["ABORTED"] * 18 + ["OK"]
        won = requests[found.index("OK")]
        search = registry_service.SearchModelVersionsRequest(filter=f"tags.won{round_} = 'yes'")
        tagged = (await stubs[1].SearchModelVersions(search)).model_versions
        assert [(version.version, list(version.aliases)) for version in tagged] == [(won.version, ["prod"])]
        history = registry_service.ListRegistryHistoryRequest(name="m", page_size=2)
        change = (await stubs[1].ListRegistryHistory(history)).changes[0]
        assert (change.key, change.old_value, change.new_value) == ("prod", str(now), str(won.version))
        assert change.user_id == won.user_id
        # A retry at the other server has the same answer and no second effect.
        again = await stubs[1 - found.index("OK") % 2].PromoteModelVersion(won)
        assert again.model_version.version == won.version


async def test_an_alias_is_removed_once_across_servers(channels):
    stubs = await registered(channels, 2)
    await stubs[0].SetAlias(registry_service.SetAliasRequest(name="m", alias="a", version=1))
    remove = registry_service.DeleteAliasRequest(name="m", alias="a", expected_version=1)
    move = registry_service.SetAliasRequest(name="m", alias="a", version=2, expected_version=1)
    calls = [stubs[i % 2].DeleteAlias(remove) if i % 4 < 2 else stubs[i % 2].SetAlias(move) for i in range(20)]
    assert sorted(await outcomes(calls)) == ["ABORTED"] * 19 + ["OK"]
    history = registry_service.ListRegistryHistoryRequest(name="m", page_size=2)
    first, second = (await stubs[0].ListRegistryHistory(history)).changes
    assert (first.old_value, second.new_value) == ("1", "1")


async def test_copies_that_are_the_first_of_a_name_agree_across_servers(channels):
    stubs = await registered(channels, 1)
    request = registry_service.CopyModelVersionRequest(source="models:/m/1", name="n")
    made = await asyncio.gather(*[stub.CopyModelVersion(request) for stub in stubs for _ in range(5)])
    assert sorted(answer.model_version.version for answer in made) == list(range(1, 11))


async def test_what_a_killed_server_staged_goes_when_a_server_starts_alone(tmp_path):
    arguments = ["--host", "127.0.0.1", "--port", "0", "--data-dir", str(tmp_path / "data")]

    async def until_staged(count: int) -> None:
        statement = "SELECT COUNT(*) FROM commits WHERE sequence IS NULL"
        while database.execute(statement).fetchone() != (count,):  # noqa: ASYNC110 - another process changes it
            await asyncio.sleep(0.01)

    with (
        running_server(*arguments) as killed,
        contextlib.closing(sqlite3.connect(tmp_path / "data" / "holdfast.db", isolation_level=None)) as database,
    ):
        async with grpc.aio.insecure_channel(killed.address) as channel:
            api = ArtifactApi(channel)
            owner = await api.new_run()
            entries = [inline(f"{number}") for number in range(FIRST_STAGE_SIZE + 50)]

            async def never_ending() -> AsyncIterator[artifact_service_pb2.CommitFilesRequest]:
                for part in commit_parts(artifact_service_pb2.CommitHeader(owner=owner), entries, [inline("next")])[
                    :-1
                ]:
                    yield part
                await asyncio.Event().wait()

            call = api.stub.CommitFiles(never_ending())
            await until_staged(1)
            with running_server(*arguments) as beside:
                killed.process.kill()
                killed.process.wait()
                assert (await outcomes([call])) == ["UNAVAILABLE"]
                beside.process.kill()
                beside.process.wait()
            assert database.execute("SELECT COUNT(*) FROM entries").fetchone()[0] > FIRST_STAGE_SIZE
            with running_server(*arguments) as alone:
                await until_staged(0)
                assert alone.process.poll() is None
        assert database.execute("SELECT COUNT(*) FROM entries").fetchone() == (0,)
