"""What a URI names is replaced, and collected, between looking it up and reading it: the client reads the newest."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from holdfast._client import Client
from holdfast._transfer import downloading
from holdfast._transfer.progress import Progress
from holdfast.errors import FailedPreconditionError

# Over what comes in the stream of small files.
LARGE = 3 << 20
READS = {
    "read-small": lambda client, uri, _: {"small": client.artifacts.read_bytes(f"{uri}/small")},
    "read-large": lambda client, uri, _: {"large": client.artifacts.read_bytes(f"{uri}/large")},
    "open": lambda client, uri, _: {"large": client.artifacts.open(f"{uri}/large").read()},
    "file": lambda client, uri, folder: below(client.artifacts.download(f"{uri}/small", folder).parent),
    "large-file": lambda client, uri, folder: below(client.artifacts.download(f"{uri}/large", folder).parent),
    "directory": lambda client, uri, folder: below(client.artifacts.download(uri, folder)),
}


def below(folder: Path) -> dict[str, bytes]:
    """The files in a directory."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


class Replaced:
    """A directory of a run, of which nothing is left once it was replaced."""

    def __init__(self, client: Client, run_id: str) -> None:
        self.uri = f"runs:/{run_id}/d"
        self.contents: dict[str, bytes] = {}
        self._client, self._run_id, self._source = client, run_id, random.Random(20261130)
        self._write()

    def replace(self) -> None:
        """Put other files there, and collect what was there before, as somebody else may at any time."""
        self._client.delete_artifacts(self._run_id, "d")
        self._write()
        self._client.collect_garbage(grace=0)

    def _write(self) -> None:
        of_now = f"of-{self._source.randrange(1 << 32)}"
        self.contents = {"small": self._source.randbytes(2_000), "large": self._source.randbytes(LARGE), of_now: b"x"}
        for name, data in self.contents.items():
            self._client.log_bytes(self._run_id, data, f"d/{name}")


@pytest.fixture
def replaced(other: Client) -> Replaced:
    return Replaced(other, other.create_run("0").info.run_id)


@pytest.fixture
def after_resolving(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None], int], list[str]]:
    """Lets something happen after each of the next so many times that a URI is resolved; returns what was resolved."""

    def arrange(happen: Callable[[], None], times: int) -> list[str]:
        resolve, resolved = downloading.Downloader.resolve_origin, []

        def resolve_then(self: downloading.Downloader, uri: str) -> Any:
            found = resolve(self, uri)
            resolved.append(uri)
            if len(resolved) <= times:
                happen()
            return found

        monkeypatch.setattr(downloading.Downloader, "resolve_origin", resolve_then)
        return resolved

    return arrange


@pytest.mark.parametrize("read", READS.values(), ids=READS.keys())
def test_what_was_collected_before_it_was_read_is_resolved_again(
    other: Client, replaced: Replaced, after_resolving, tmp_path: Path, read
) -> None:
    resolved = after_resolving(replaced.replace, 2)
    found = read(other, replaced.uri, tmp_path / "target")
    assert found.items() <= replaced.contents.items()
    assert len(found) in {1, len(replaced.contents)}
    assert len(resolved) == 3


def test_a_listing_is_begun_again_too(other: Client, replaced: Replaced, after_resolving) -> None:
    after_resolving(replaced.replace, 1)
    listed = {info.path.removeprefix("d/") for info in other.artifacts.list(replaced.uri)}
    assert listed == replaced.contents.keys()


def test_what_is_replaced_each_time_is_an_error_in_the_end(other: Client, replaced: Replaced, after_resolving) -> None:
    resolved = after_resolving(replaced.replace, 1_000)
    with pytest.raises(FailedPreconditionError) as caught:
        other.artifacts.read_bytes(f"{replaced.uri}/small")
    assert caught.value.reason == "SNAPSHOT_EXPIRED"
    assert len(resolved) == downloading.RESOLVED


class _ThenReplaced(Progress):
    """Replaces what is downloaded as soon as something of it came."""

    def __init__(self, replaced: Replaced) -> None:
        super().__init__("downloading", shown=False)
        self._replaced, self._is_done = replaced, False

    def expect(self, size: int | None, *, files: int = 0) -> None:
        super().expect(size, files=files)
        if not self._is_done:
            self._is_done = True
            self._replaced.replace()


def test_a_directory_of_which_something_came_is_not_mixed_with_a_newer_one(
    other: Client, replaced: Replaced, after_resolving, tmp_path: Path
) -> None:
    before, resolved = dict(replaced.contents), after_resolving(lambda: None, 0)
    with pytest.raises(FailedPreconditionError) as caught:
        other.artifacts.download(replaced.uri, tmp_path, progress=_ThenReplaced(replaced))
    assert caught.value.reason == "SNAPSHOT_EXPIRED"
    assert len(resolved) == 1
    there = {name: data for name, data in below(tmp_path / "d").items() if name in {*before, *replaced.contents}}
    assert there.items() <= before.items()


def test_a_file_that_is_begun_again_is_counted_once(
    other: Client, replaced: Replaced, after_resolving, tmp_path: Path
) -> None:
    after_resolving(replaced.replace, 1)
    progress = Progress("downloading", shown=False)
    other.artifacts.download(f"{replaced.uri}/large", tmp_path, progress=progress)
    assert (progress.summary.files, progress.summary.bytes) == (1, LARGE)
