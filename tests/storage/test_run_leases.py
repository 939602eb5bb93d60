"""When a run is lost, by a clock that the test sets: outages of the server do not count."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from holdfast_server.domain.artifacts import Owner
from holdfast_server.domain.event import EventType
from holdfast_server.domain.run import Batch, RunInfo, RunStatus
from holdfast_server.services import runs
from holdfast_server.services.changes import seal
from holdfast_server.services.ports.database import Transaction
from holdfast_server.services.run_leases import (
    LeaseKeeper,
    LeaseTerms,
    give_back_outage,
    hold_lease,
    mark_lost,
    renew_leases,
)
from holdfast_server.services.run_logging import log_batch
from holdfast_server.storage.sql.sqlite import SqliteDatabase

LENGTH = 60_000
TERMS = LeaseTerms(LENGTH)
START = 1_700_000_000_000


class SetClock:
    """Stands until it is moved."""

    def __init__(self) -> None:
        self.now = START

    def now_ms(self) -> int:
        return self.now


class Counted:
    """Ids in a row."""

    def __init__(self) -> None:
        self._numbers = itertools.count()

    def new_id(self) -> str:
        return f"{next(self._numbers):032x}"


class Servers:
    """A database, with servers that look after its leases when the test says so."""

    def __init__(self, path: Path) -> None:
        self.clock = SetClock()
        self.database = SqliteDatabase(path, clock=self.clock, ids=Counted())

    async def pass_time(self, seconds: float) -> None:
        """Time passes while a server runs."""
        end = self.clock.now + round(seconds * 1000)
        while self.clock.now < end:
            self.clock.now = min(end, self.clock.now + 5_000)
            await self.beat()

    async def beat(self) -> None:
        await self.database.write(lambda tx: (give_back_outage(tx, TERMS), mark_lost(tx)))

    async def new_run(self, terms: LeaseTerms | None = TERMS) -> str:
        def job(tx: Transaction) -> str:
            run, _ = runs.create_run(tx, runs.NewRun())
            if terms is not None:
                hold_lease(tx, run, terms)
            return run.id

        return await self.database.write(job)

    async def run(self, run_id: str) -> RunInfo:
        return await self.database.read(lambda tx: runs.get_run(tx, run_id))

    async def is_lost(self, run_id: str) -> bool:
        return (await self.run(run_id)).lost

    async def renew(self, run_id: str) -> list[str]:
        return await self.database.write(lambda tx: renew_leases(tx, [run_id], TERMS))

    async def events(self) -> list[EventType]:
        found = await self.database.read(lambda tx: tx.events.list_all(0, 100))
        return [event.type for event in found if event.type is not EventType.CREATED]


@pytest.fixture
async def servers(tmp_path: Path) -> AsyncIterator[Servers]:
    servers = Servers(tmp_path / "holdfast.db")
    await servers.beat()
    yield servers
    await asyncio.to_thread(servers.database.close)


async def test_a_run_is_lost_after_its_lease_and_not_before(servers):
    run_id = await servers.new_run()
    await servers.pass_time(59)
    assert not await servers.is_lost(run_id)
    await servers.pass_time(2)
    assert await servers.is_lost(run_id)
    assert (await servers.run(run_id)).status is RunStatus.RUNNING
    assert await servers.events() == [EventType.LOST]
    await servers.pass_time(600)
    assert await servers.events() == [EventType.LOST]


async def test_a_run_that_is_renewed_is_not_lost(servers):
    run_id = await servers.new_run()
    for _ in range(10):
        await servers.pass_time(20)
        assert await servers.renew(run_id) == [run_id]
    assert not await servers.is_lost(run_id)
    assert await servers.events() == []


async def test_a_run_without_a_lease_is_never_lost(servers):
    run_id, other = await servers.new_run(None), await servers.new_run()
    await servers.pass_time(3_600)
    assert await servers.is_lost(other)
    assert not await servers.is_lost(run_id)


@pytest.mark.parametrize(
    "give_sign",
    [
        pytest.param(lambda tx, run_id: renew_leases(tx, [run_id], TERMS), id="renewal"),
        pytest.param(lambda tx, run_id: log_batch(tx, run_id, Batch()), id="batch"),
        pytest.param(lambda tx, run_id: runs.log_inputs(tx, run_id, [], []), id="inputs"),
        pytest.param(lambda tx, run_id: runs.log_outputs(tx, run_id, []), id="outputs"),
    ],
)
async def test_a_lost_run_goes_on_when_its_client_returns(servers, give_sign: Callable[[Transaction, str], object]):
    run_id = await servers.new_run()
    await servers.pass_time(100)
    await servers.database.write(lambda tx: give_sign(tx, run_id))
    assert not await servers.is_lost(run_id)
    await servers.pass_time(55)
    assert not await servers.is_lost(run_id)
    await servers.pass_time(10)
    assert await servers.is_lost(run_id)
    assert await servers.events() == [EventType.LOST, EventType.RETURNED, EventType.LOST]


async def test_artifacts_are_a_sign_of_life_too(servers):
    run_id = await servers.new_run()
    await servers.pass_time(100)
    owner = Owner.run(run_id)
    await servers.database.write(lambda tx: seal(tx, owner, tx.trees.begin_commit(owner)))
    assert not await servers.is_lost(run_id)
    assert await servers.events() == [EventType.LOST, EventType.RETURNED, EventType.ARTIFACTS]


async def test_a_run_that_ended_is_not_lost_and_has_no_lease(servers):
    run_id, lost = await servers.new_run(), await servers.new_run()
    finished = runs.RunChanges(status=RunStatus.FINISHED)
    await servers.database.write(lambda tx: runs.update_run(tx, run_id, finished))
    await servers.pass_time(100)
    assert not await servers.is_lost(run_id)
    assert await servers.is_lost(lost)
    await servers.database.write(lambda tx: runs.update_run(tx, lost, finished))
    assert not await servers.is_lost(lost)
    assert await servers.renew(run_id) == []
    await servers.pass_time(100)
    assert not await servers.is_lost(lost)


async def test_a_deleted_run_is_not_lost(servers):
    run_id = await servers.new_run()
    await servers.database.write(lambda tx: runs.delete_run(tx, run_id))
    assert await servers.renew(run_id) == []
    await servers.pass_time(100)
    assert not await servers.is_lost(run_id)
    assert await servers.events() == [EventType.DELETED]


async def test_renewing_what_is_not_there_is_passed_over(servers):
    assert await servers.renew("f" * 32) == []


async def test_time_in_which_no_server_ran_does_not_count(servers):
    run_id = await servers.new_run()
    await servers.pass_time(30)
    servers.clock.now += 3_600_000
    await servers.pass_time(25)
    assert not await servers.is_lost(run_id)
    await servers.pass_time(10)
    assert await servers.is_lost(run_id)


async def test_an_outage_right_after_a_renewal_does_not_count_either(servers):
    await servers.pass_time(5)
    run_id = await servers.new_run()
    servers.clock.now += 3_600_000
    await servers.pass_time(50)
    assert not await servers.is_lost(run_id)
    await servers.pass_time(15)
    assert await servers.is_lost(run_id)


async def test_idle_time_before_a_lease_was_taken_adds_nothing_to_it(servers):
    keeper = LeaseKeeper(servers.database, TERMS)
    await keeper._look()
    servers.clock.now += 86_400_000
    run_id = await servers.new_run()
    await servers.pass_time(65)
    assert await servers.is_lost(run_id)


async def test_a_run_that_was_lost_before_an_outage_stays_lost(servers):
    run_id = await servers.new_run()
    await servers.pass_time(100)
    servers.clock.now += 3_600_000
    await servers.pass_time(5)
    assert await servers.is_lost(run_id)


async def test_without_leases_nothing_is_written(servers):
    await servers.new_run(None)
    keeper = LeaseKeeper(servers.database, TERMS)
    servers.clock.now += 100_000
    await keeper._look()
    assert await servers.database.read(lambda tx: tx.run_leases.last_beat()) == START


async def test_runs_of_an_embedded_server_are_lost_when_no_client_is_left(servers):
    local, remote = await servers.new_run(LeaseTerms(LENGTH, embedded=True)), await servers.new_run()
    servers.clock.now += 1_000
    await LeaseKeeper(servers.database, TERMS).end_embedded()
    assert await servers.is_lost(local)
    assert not await servers.is_lost(remote)
