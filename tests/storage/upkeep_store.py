"""A real database and store with a clock that can be set, for tests of upkeep."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from holdfast.format.digests import BLOCK_SIZE
from holdfast_server.domain.artifacts import Kind, NewBlock, NewEntry, Owner
from holdfast_server.domain.model import ModelStatus
from holdfast_server.domain.upkeep import HOUR_MS, Checked, Collected, Finding
from holdfast_server.host import RandomIds
from holdfast_server.services.artifact_uris import resolve_model_source
from holdfast_server.services.artifacts import ArtifactService
from holdfast_server.services.checking import CheckSettings, StorageChecker
from holdfast_server.services.commits import InlineEntry, delete_files, inline_digests
from holdfast_server.services.garbage import CollectionSettings, GarbageCollector
from holdfast_server.services.models import NewModel, create_model, finalize_model
from holdfast_server.services.ports.artifacts import ObjectStore
from holdfast_server.services.registry import NewVersion, create_version
from holdfast_server.services.runs import NewRun, create_run, delete_run
from holdfast_server.services.store_access import StoreAccess
from holdfast_server.storage.blocks.identity import check_identity, confirm_identity
from holdfast_server.storage.blocks.packs import PackedBlockStore
from holdfast_server.storage.blocks.verifying import VerifyingBlockStore
from holdfast_server.storage.sql.sqlite import SqliteDatabase

DAY = 24 * HOUR_MS


class ShiftedClock:
    """The host's clock, as many hours ahead as a test likes."""

    ahead_ms = 0

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000 + self.ahead_ms


class UpkeepStore:
    """What a server has, without the network."""

    def __init__(self, directory: Path, objects: ObjectStore) -> None:
        self.clock, self.objects = ShiftedClock(), objects
        objects.check()
        self.path = directory / "holdfast.db"
        self.database = SqliteDatabase(self.path, clock=self.clock, ids=RandomIds())
        store_id, _ = self.database.block_store()
        check_identity(objects, store_id, "the test's", known_as="")
        self.executor = ThreadPoolExecutor(2)
        self.blocks = VerifyingBlockStore(PackedBlockStore(objects))
        self.artifacts = ArtifactService(self.database, self.blocks, self.executor, now_ms=self.clock.now_ms)
        self.access = StoreAccess(
            database=self.database,
            blocks=self.blocks,
            objects=objects,
            executor=self.executor,
            ids=RandomIds(),
            host="The test",
            check_identity=lambda: confirm_identity(objects, store_id),
        )

    def close(self) -> None:
        self.database.close()
        self.executor.shutdown()

    def advance(self, ms: int) -> None:
        self.clock.ahead_ms += ms

    async def new_run(self) -> Owner:
        run, _ = await self.database.write(lambda tx: create_run(tx, NewRun()))
        return Owner.run(run.id)

    async def new_model(self) -> Owner:
        return Owner.model((await self.database.write(lambda tx: create_model(tx, NewModel(name="m")))).id)

    async def delete_run(self, owner: Owner) -> None:
        await self.database.write(lambda tx: delete_run(tx, owner.id))

    async def register(self, uri: str, name: str = "registered") -> int:
        new = NewVersion(name=name, source=uri, create_registered_model=True)
        return (await self.database.write(lambda tx: create_version(tx, new, resolve_model_source))).version

    async def write(self, *contents: bytes) -> None:
        """Store blocks that nothing refers to, together."""
        await self.artifacts.write_blocks([NewBlock(sha(data), (data,), len(data)) for data in contents])

    async def put(self, owner: Owner, files: Mapping[str, bytes]) -> int:
        """Commit files: small ones inline, others by blocks written before."""
        commit = self.artifacts.begin_commit(owner)
        for path, data in files.items():
            blocks = [data[start : start + BLOCK_SIZE] for start in range(0, len(data), BLOCK_SIZE)]

            def make(digests: tuple[bytes, ...], path: str = path, size: int = len(data)) -> NewEntry:
                return NewEntry(path, Kind.FILE, size=size, block_digests=digests)

            if len(data) <= 64 << 10:
                await commit.add([InlineEntry(make(inline_digests(data)), data)])
            else:
                missing = set(await self.artifacts.find_missing_blocks([sha(block) for block in blocks]))
                for block in blocks:
                    if sha(block) in missing:
                        await self.write(block)
                await commit.add([make(tuple(sha(block) for block in blocks))])
        try:
            return await commit.finish()
        except BaseException:
            await commit.abandon()
            raise

    async def remove(self, owner: Owner, *paths: str) -> None:
        await self.database.write(lambda tx: delete_files(tx, owner, paths))

    async def read(self, owner: Owner, path: str, sequence: int | None = None) -> bytes:
        entry = await self.artifacts.get_file(owner, sequence, path)
        blocks = [b async for b in self.artifacts.list_blocks(entry, 0, -(-entry.size // BLOCK_SIZE))]
        return b"".join([data for block in blocks for data in await self.artifacts.read_blocks([block])])

    async def collect(self, *, grace: int = 0, purge: int | None = None) -> Collected:
        """Collect garbage, after checking that a forecast foresees what goes."""
        settings = CollectionSettings(grace_ms=grace, purge_ms=purge)
        self.advance(1)  # with a grace of zero, what was touched in this very millisecond would be kept
        foreseen, collected = Collected(), Collected()
        await GarbageCollector(self.access).forecast(settings, foreseen)
        await GarbageCollector(self.access).collect(settings, collected)
        if purge is None:
            assert foreseen.pruned_entries == collected.pruned_entries
        for name in ("purged_runs", "purged_models", "files", "blocks", "block_bytes"):
            assert getattr(foreseen, name) == getattr(collected, name), name
        return collected

    async def check(self, *, deep: bool = True, repair: bool = False) -> tuple[list[Finding], Checked]:
        findings: list[Finding] = []

        async def take(finding: Finding) -> None:
            findings.append(finding)

        checked = Checked()
        await StorageChecker(self.access).check(CheckSettings(deep=deep, repair=repair), checked, take)
        assert checked.problems == sum(finding.kind.is_problem for finding in findings)
        return findings, checked

    async def assert_clean(self) -> None:
        findings, _ = await self.check()
        assert findings == []

    def listed(self) -> set[str]:
        return {item.key for item in self.objects.list_objects() if item.key != "holdfast-store"}

    def overwrite(self, key: str, data: bytes) -> None:
        """Damage an object."""
        self.objects.put(key, [data], sha(data))

    def content(self, key: str) -> bytes:
        return self.objects.get(key, 0, 32 << 20)


def sha(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def random_bytes(size: int) -> bytes:
    return secrets.token_bytes(size)


async def finalize(store: UpkeepStore, model: Owner) -> None:
    await store.database.write(lambda tx: finalize_model(tx, model.id, ModelStatus.READY, ""))
