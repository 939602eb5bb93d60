"""Random sequences of calls, with kills of the server between them, against plain dictionaries."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)
from tests.faults.backends import Backend
from tests.faults.machines import run_machine
from tests.faults.scoreboard import Scoreboard
from tests.faults.sizing import Sizing
from tests.faults.workload import delete

from holdfast._client import Client
from holdfast.errors import FailedPreconditionError, NotFoundError
from holdfast.format.digests import BLOCK_SIZE

pytestmark = pytest.mark.slow

EXAMPLES = 6
STEPS = 25

# Few names, so that calls meet: files over files, files where directories are, deletions of both.
NAMES = st.sampled_from(["a", "b", "d/a", "d/b", "d/e", "d/e/a", "e"])
DIRECTORIES = st.sampled_from(["", "d", "d/e"])
# Contents are made from a letter and a size: inline ones, blocks in packs, blocks of their own, and two blocks.
SIZES = st.sampled_from([0, 1, 100, 70_000, 600_000, BLOCK_SIZE, BLOCK_SIZE + 1])
CONTENTS = st.builds(lambda letter, size: letter * size, st.sampled_from([b"x", b"y", b"z"]), SIZES)
TREES = st.dictionaries(st.sampled_from(["a", "b", "e/a", "e/b"]), CONTENTS, min_size=1, max_size=4)

Files = dict[str, bytes]


class Server:
    """One server for all examples: each has runs and models of its own."""

    def __init__(self, backend: Backend) -> None:
        self._backend, self._open = backend, ExitStack()
        self.kills = 0
        self._names = 0
        self.start()

    def start(self) -> None:
        self._server = self._open.enter_context(self._backend.server())
        self.client = self._open.enter_context(Client(self._backend.uri))

    def kill_and_start(self) -> None:
        self._server.process.kill()
        self._server.process.wait()
        self.stop()
        self.kills += 1
        self.start()

    def stop(self) -> None:
        self._open.close()

    def new_name(self) -> str:
        self._names += 1
        return f"registered-{self._names}"


class Artifacts(RuleBasedStateMachine):
    """What is logged, overwritten, deleted, registered and read, and what a dictionary says should be there."""

    server: Server
    scratch: Path

    models = Bundle("models")
    versions = Bundle("versions")

    @initialize()
    def begin(self) -> None:
        self.run_id = self.client.create_run("0").info.run_id
        self.files: Files = {}
        self.directories: set[str] = set()  # they stay when the last file in them is deleted

    @property
    def client(self) -> Client:
        return self.server.client

    @rule(name=NAMES, data=CONTENTS)
    def log_bytes(self, name: str, data: bytes) -> None:
        self._log({name: data}, lambda: self.client.log_bytes(self.run_id, data, name))

    @rule(name=NAMES, text=st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
    def log_text(self, name: str, text: str) -> None:
        self._log({name: text.encode()}, lambda: self.client.log_text(self.run_id, text, name))

    @rule(directory=DIRECTORIES, data=CONTENTS)
    def log_artifact(self, directory: str, data: bytes) -> None:
        folder = self._folder({"a": data})
        self._log({_join(directory, "a"): data}, lambda: self.client.log_artifact(self.run_id, folder / "a", directory))

    @rule(directory=DIRECTORIES, tree=TREES)
    def log_artifacts(self, directory: str, tree: Files) -> None:
        folder = self._folder(tree)
        files = {_join(directory, name): data for name, data in tree.items()}
        self._log(files, lambda: self.client.log_artifacts(self.run_id, folder, directory))

    @rule(path=st.sampled_from(["a", "b", "d", "d/a", "d/e", "d/e/a"]))
    def delete(self, path: str) -> None:
        gone = {n for n in self.files.keys() | self.directories if n == path or n.startswith(f"{path}/")}
        if gone:
            delete(self.client, self.run_id, path)
        else:
            with pytest.raises(NotFoundError):
                delete(self.client, self.run_id, path)
        self.files = {name: data for name, data in self.files.items() if name not in gone}
        self.directories -= gone

    @rule(target=models, tree=TREES)
    def log_model(self, tree: Files) -> tuple[str, Files]:
        model_id = self.client.create_logged_model("0").model_id
        self.client.log_model_artifacts(model_id, self._folder(tree))
        self.client.finalize_logged_model(model_id, "READY")
        return f"models:/{model_id}", tree

    @rule(target=versions, model=consumes(models))
    def register_model(self, model: tuple[str, Files]) -> tuple[str, Files]:
        uri, tree = model
        version = self.client.register_logged_model(self.server.new_name(), uri.removeprefix("models:/"))
        return f"models:/{version.name}/{version.version}", tree

    @rule(target=versions)
    def register_files_of_the_run(self) -> object:
        """A snapshot: what the run's files become later changes nothing about it."""
        below = {name.removeprefix("d/"): data for name, data in self.files.items() if name.startswith("d/")}
        if not below:
            return multiple()
        version = self.client.create_model_version(
            self.server.new_name(), f"runs:/{self.run_id}/d", create_registered_model=True
        )
        return f"models:/{version.name}/{version.version}", below

    @rule(pinned=st.one_of(models, versions))
    def read_what_is_final(self, pinned: tuple[str, Files]) -> None:
        uri, tree = pinned
        assert self._downloaded(uri) == tree

    @rule(data=st.data())
    def read_a_range(self, data: st.DataObject) -> None:
        if not self.files:
            return
        name = data.draw(st.sampled_from(sorted(self.files)))
        content = self.files[name]
        start, size = data.draw(st.integers(0, len(content) + 1)), data.draw(st.integers(0, 2_000))
        with self.client.artifacts.open(f"runs:/{self.run_id}/{name}") as file:
            file.seek(start)
            assert file.read(size) == content[start : start + size]

    @rule()
    def download(self) -> None:
        assert self._downloaded(f"runs:/{self.run_id}") == self.files

    @rule()
    def kill_and_start_the_server(self) -> None:
        self.server.kill_and_start()

    @precondition(lambda self: hasattr(self.client, "collect_garbage"))
    @rule()
    def collect_garbage(self) -> None:
        """Takes nothing that anything refers to, though it waits for nothing: no upload is in progress."""
        self.client.collect_garbage(grace=0)  # type: ignore[attr-defined]  # present, says the precondition

    @invariant()
    def the_listing_is_that_of_the_dictionary(self) -> None:
        if not hasattr(self, "run_id"):
            return
        listed = self.client.artifacts.list(f"runs:/{self.run_id}", recursive=True)
        assert {info.path: info.file_size for info in listed if not info.is_dir} == {
            name: len(data) for name, data in self.files.items()
        }

    def _log(self, files: Files, call: Callable[[], None]) -> None:
        """Make a call; it must be refused exactly when a file would stand where a directory is, or the reverse."""
        after = {**self.files, **files}
        directories = self.directories | {name[:at] for name in files for at in range(len(name)) if name[at] == "/"}
        if directories & after.keys():
            with pytest.raises(FailedPreconditionError, match="directory"):
                call()
        else:
            call()
            self.files, self.directories = after, directories

    def _folder(self, tree: Files) -> Path:
        folder = self.scratch / "in"
        shutil.rmtree(folder, ignore_errors=True)
        for name, data in tree.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
        return folder

    def _downloaded(self, uri: str) -> Files:
        target = self.scratch / "out"
        shutil.rmtree(target, ignore_errors=True)
        self.client.download_artifacts(artifact_uri=uri, dst_path=target)
        return {p.relative_to(target).as_posix(): p.read_bytes() for p in target.rglob("*") if p.is_file()}


def _join(directory: str, name: str) -> str:
    return f"{directory}/{name}" if directory else name


@pytest.fixture
def server(backend: Backend) -> Iterator[Server]:
    server = Server(backend)
    yield server
    server.stop()


@pytest.mark.timeout(7200)
def test_the_store_is_a_dictionary_that_survives_kills(
    server: Server, backend: Backend, sizing: Sizing, scoreboard: Scoreboard, scratch: Path
) -> None:
    try:
        run_machine(Artifacts, sizing, examples=EXAMPLES, steps=STEPS, server=server, scratch=scratch)
    finally:
        scoreboard.injected("kill: between calls", backend.name, server.kills)
