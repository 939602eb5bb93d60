"""Random changes of the registry through two server processes that are killed between them, against dictionaries.

Each change is sent twice under one request id, once to either server, and must have one effect and one answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from tests.faults.machines import ServerPair, run_machine
from tests.faults.scoreboard import Scoreboard
from tests.faults.sizing import Sizing

from holdfast.v1 import model_registry_service_pb2 as service
from holdfast.v1 import model_registry_service_pb2_grpc as service_grpc
from holdfast.v1 import registered_model_pb2, registry_change_pb2
from holdfast.v1.experiment_pb2 import Tag

pytestmark = pytest.mark.slow

EXAMPLES = 8
STEPS = 40

# Few of each, so that calls meet.
NAMES = st.sampled_from(["a", "b"])
VERSIONS = st.integers(1, 4)
ALIASES = st.sampled_from(["x", "y"])
EXPECTED = st.sampled_from([None, None, 0, 1, 2, 3])
VALUES = st.sampled_from(["", "1", "2"])
STAGES = st.sampled_from(["None", "Staging", "Production", "Archived"])
CHANGES = st.tuples(VALUES, STAGES, st.booleans())  # of a tag, of the stage, and whether others are archived
MOVES = st.dictionaries(ALIASES, EXPECTED, max_size=2)


@dataclass
class Version:
    source: str = field(compare=False, default="")
    tags: dict[str, str] = field(default_factory=dict)
    stage: str = "None"


@dataclass
class Model:
    lineage: int
    next_version: int
    versions: dict[int, Version] = field(default_factory=dict)
    aliases: dict[str, int] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Record:
    lineage: int
    change: tuple[Any, ...]


class Registry(RuleBasedStateMachine):
    """What is registered, promoted, renamed and deleted, and what dictionaries say should be there."""

    servers: ServerPair

    @initialize()
    def begin(self) -> None:
        self.prefix = self.servers.new_prefix()
        self.stubs = [service_grpc.ModelRegistryServiceStub(channel) for channel in self.servers.channels]
        self.models: dict[str, Model] = {}
        self.used: dict[str, int] = {}
        self.records: list[Record] = []
        self.requests = self.lineages = 0
        self.killed = False

    @rule(name=NAMES, value=VALUES)
    def create(self, name: str, value: str) -> None:
        request = service.CreateRegisteredModelRequest(name=self.prefix + name, tags=[Tag(key="k", value=value)])
        if name in self.models:
            self.send("CreateRegisteredModel", request, "ALREADY_EXISTS")
            return
        self.send("CreateRegisteredModel", request)
        model = self.add(name)
        model.tags["k"] = value
        self.record(model, "TAG_CHANGED", name, 0, "k", None, value)

    @rule(name=NAMES)
    def register(self, name: str) -> None:
        request = service.CreateModelVersionRequest(
            name=self.prefix + name, source=self.servers.source, create_registered_model=True
        )
        response = self.send("CreateModelVersion", request)
        model = self.models.get(name) or self.add(name)
        assert response.model_version.version == model.next_version
        self.add_version(model, name, Version(self.servers.source))

    @rule(name=NAMES, version=VERSIONS, new_name=NAMES)
    def copy(self, name: str, version: int, new_name: str) -> None:
        source = f"models:/{self.prefix}{name}/{version}"
        request = service.CopyModelVersionRequest(source=source, name=self.prefix + new_name)
        model = self.models.get(name)
        if model is None or version not in model.versions:
            self.send("CopyModelVersion", request, "NOT_FOUND")
            return
        response = self.send("CopyModelVersion", request)
        target = self.models.get(new_name) or self.add(new_name)
        assert response.model_version.version == target.next_version
        tags = dict(model.versions[version].tags)
        number = self.add_version(target, new_name, Version(source, tags))
        for key, value in tags.items():
            self.record(target, "TAG_CHANGED", new_name, number, key, None, value)

    @rule(name=NAMES, new_name=NAMES, value=VALUES)
    def rename(self, name: str, new_name: str, value: str) -> None:
        request = service.UpdateRegisteredModelRequest(
            name=self.prefix + name, new_name=self.prefix + new_name, tags=[Tag(key="k", value=value)]
        )
        model = self.models.get(name)
        if model is None or (new_name != name and new_name in self.models):
            self.send("UpdateRegisteredModel", request, "ALREADY_EXISTS" if model else "NOT_FOUND")
            return
        self.send("UpdateRegisteredModel", request)
        self.tag(model, name, 0, model.tags, value)
        if new_name != name:
            self.record(model, "MODEL_RENAMED", name, 0, "", self.prefix + name, self.prefix + new_name)
            self.used[name] = max(self.used.get(name, 1), model.next_version)
            model.next_version = max(model.next_version, self.used.get(new_name, 1))
            self.models[new_name] = self.models.pop(name)

    @rule(name=NAMES)
    def delete(self, name: str) -> None:
        request = service.DeleteRegisteredModelRequest(name=self.prefix + name)
        model = self.models.get(name)
        if model is None:
            self.send("DeleteRegisteredModel", request, "NOT_FOUND")
            return
        self.send("DeleteRegisteredModel", request)
        for alias in sorted(model.aliases):
            self.move(model, name, alias, 0)
        self.record(model, "MODEL_DELETED", name, 0, "", None, None)
        self.used[name] = max(self.used.get(name, 1), model.next_version)
        del self.models[name]

    @rule(name=NAMES, version=VERSIONS)
    def delete_version(self, name: str, version: int) -> None:
        request = service.DeleteModelVersionRequest(name=self.prefix + name, version=version)
        model = self.models.get(name)
        if model is None or version not in model.versions:
            self.send("DeleteModelVersion", request, "NOT_FOUND")
            return
        self.send("DeleteModelVersion", request)
        for alias in sorted(alias for alias, named in model.aliases.items() if named == version):
            self.move(model, name, alias, 0)
        self.record(model, "VERSION_DELETED", name, version, "", model.versions[version].source, None)
        del model.versions[version]

    @rule(name=NAMES, alias=ALIASES, version=VERSIONS, expected=EXPECTED)
    def set_alias(self, name: str, alias: str, version: int, expected: int | None) -> None:
        request = service.SetAliasRequest(
            name=self.prefix + name, alias=alias, version=version, expected_version=expected
        )
        model = self.models.get(name)
        refusal = self.refusal(model, version, {alias: expected})
        self.send("SetAlias", request, refusal)
        if model is not None and not refusal:
            self.move(model, name, alias, version)

    @rule(name=NAMES, alias=ALIASES, expected=EXPECTED)
    def delete_alias(self, name: str, alias: str, expected: int | None) -> None:
        request = service.DeleteAliasRequest(name=self.prefix + name, alias=alias, expected_version=expected)
        model = self.models.get(name)
        refusal = self.refusal(model, None, {alias: expected})
        self.send("DeleteAlias", request, refusal)
        if model is not None and not refusal:
            self.move(model, name, alias, 0)

    @rule(name=NAMES, version=VERSIONS, moves=MOVES, removed=MOVES, change=CHANGES)
    def promote(
        self,
        name: str,
        version: int,
        moves: dict[str, int | None],
        removed: dict[str, int | None],
        change: tuple[str, str, bool],
    ) -> None:
        value, stage, archive = change
        removed = {alias: expected for alias, expected in removed.items() if alias not in moves}
        archive = archive and stage in {"Staging", "Production"}
        request = service.PromoteModelVersionRequest(
            name=self.prefix + name,
            version=version,
            aliases=[service.AliasChange(alias=a, expected_version=e) for a, e in moves.items()],
            removed_aliases=[service.AliasChange(alias=a, expected_version=e) for a, e in removed.items()],
            tags=[Tag(key="k", value=value)],
            stage=f"MODEL_STAGE_{stage.upper()}",
            archive_existing_versions=archive,
        )
        model = self.models.get(name)
        refusal = self.refusal(model, version, {**removed, **moves})
        self.send("PromoteModelVersion", request, refusal)
        if model is None or refusal:
            return
        self.tag(model, name, version, model.versions[version].tags, value)
        self.stage(model, name, version, stage)
        for other in sorted(model.versions) if archive else ():
            if other != version and model.versions[other].stage == stage:
                self.stage(model, name, other, "Archived")
        for alias in removed:
            self.move(model, name, alias, 0)
        for alias in moves:
            self.move(model, name, alias, version)

    @precondition(lambda self: not self.killed)  # starting takes far longer than all else
    @rule()
    def kill(self) -> None:
        self.killed = True
        self.servers.kill_and_start(0, 1)
        self.stubs = [service_grpc.ModelRegistryServiceStub(channel) for channel in self.servers.channels]

    @invariant()
    def models_are_as_they_should_be(self) -> None:
        stub = self.stubs[len(self.records) % 2]
        for name, model in self.models.items():
            request = service.GetRegisteredModelRequest(name=self.prefix + name)
            found = stub.GetRegisteredModel(request).registered_model
            assert {alias.alias: alias.version for alias in found.aliases} == model.aliases
            assert {tag.key: tag.value for tag in found.tags} == model.tags
            newest = {version.stage: number for number, version in sorted(model.versions.items())}
            assert {stage_of(version): version.version for version in found.latest_versions} == newest

    def teardown(self) -> None:
        """Compare all that is there, and all that ever happened."""
        for name in ("a", "b"):
            self.compare_versions(name)
            self.compare_history(name)

    def compare_versions(self, name: str) -> None:
        search = service.SearchModelVersionsRequest(filter=f"name = '{self.prefix}{name}'")
        found = self.stubs[0].SearchModelVersions(search).model_versions
        model = self.models.get(name)
        assert {v.version: Version("", {t.key: t.value for t in v.tags}, stage_of(v)) for v in found} == (
            model.versions if model else {}
        )

    def compare_history(self, name: str) -> None:
        """To a name belongs what happened under it, and what happened before to models that were renamed to it."""
        expected = [
            record.change
            for at, record in enumerate(self.records)
            if record.change[1] == self.prefix + name
            or any(
                later.lineage == record.lineage
                and later.change[0] == "MODEL_RENAMED"
                and later.change[-1] == self.prefix + name
                for later in self.records[at:]
            )
        ]
        found: list[tuple[Any, ...]] = []
        request = service.ListRegistryHistoryRequest(name=self.prefix + name, page_size=7)
        while expected:  # of a name without any there is none
            page = self.stubs[1].ListRegistryHistory(request)
            found += map(change_of, page.changes)
            if not page.next_page_token:
                break
            request.page_token = page.next_page_token
        assert found[::-1] == expected

    def send(self, method: str, request: Any, refusal: str = "") -> Any:
        """Send a change to either server, under one id."""
        self.requests += 1
        request.request_id = f"{self.prefix}{self.requests}"
        answers = []
        for stub in self.stubs:
            try:
                answers.append(("", getattr(stub, method)(request)))
            except grpc.RpcError as error:
                answers.append((error.code().name, None))
        assert answers == [(refusal, answers[0][1])] * 2
        return answers[0][1]

    def refusal(self, model: Model | None, version: int | None, expected: dict[str, int | None]) -> str:
        if model is None or (version is not None and version not in model.versions):
            return "NOT_FOUND"
        wrong = [a for a, e in expected.items() if e is not None and e != model.aliases.get(a, 0)]
        return "ABORTED" if wrong else ""

    def add(self, name: str) -> Model:
        self.lineages += 1
        model = self.models[name] = Model(self.lineages, self.used.get(name, 1))
        self.record(model, "MODEL_CREATED", name, 0, "", None, None)
        return model

    def add_version(self, model: Model, name: str, version: Version) -> int:
        number = model.next_version
        model.versions[number] = version
        self.record(model, "VERSION_CREATED", name, number, "", None, version.source)
        model.next_version += 1
        return number

    def move(self, model: Model, name: str, alias: str, version: int) -> None:
        before = model.aliases.pop(alias, 0)
        if version:
            model.aliases[alias] = version
        if before != version:
            old, new = (str(number) if number else None for number in (before, version))
            self.record(model, "ALIAS_CHANGED", name, version or before, alias, old, new)

    def tag(self, model: Model, name: str, version: int, tags: dict[str, str], value: str) -> None:
        if tags.get("k") != value:
            self.record(model, "TAG_CHANGED", name, version, "k", tags.get("k"), value)
        tags["k"] = value

    def stage(self, model: Model, name: str, version: int, stage: str) -> None:
        before, model.versions[version].stage = model.versions[version].stage, stage
        if before != stage:
            self.record(model, "STAGE_CHANGED", name, version, "", before, stage)

    def record(self, model: Model, kind: str, name: str, *rest: Any) -> None:
        self.records.append(Record(model.lineage, (kind, self.prefix + name, *rest)))


def stage_of(version: registered_model_pb2.ModelVersion) -> str:
    return registered_model_pb2.ModelStage.Name(version.stage).removeprefix("MODEL_STAGE_").capitalize()


def change_of(change: registry_change_pb2.RegistryChange) -> tuple[Any, ...]:
    kind = registry_change_pb2.RegistryChangeKind.Name(change.kind).removeprefix("REGISTRY_CHANGE_KIND_")
    old = change.old_value if change.HasField("old_value") else None
    new = change.new_value if change.HasField("new_value") else None
    return kind, change.name, change.version, change.key, old, new


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[ServerPair]:
    servers = ServerPair(tmp_path / "data")
    yield servers
    servers.close()


@pytest.mark.timeout(7200)
def test_the_registry_is_what_dictionaries_say(servers: ServerPair, sizing: Sizing, scoreboard: Scoreboard) -> None:
    try:
        run_machine(Registry, sizing, examples=EXAMPLES, steps=STEPS, servers=servers)
    finally:
        scoreboard.injected("kill: both of two, between calls", count=servers.kills)
