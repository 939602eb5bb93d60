"""Drivers that are wrong in one way each, to see that the suite finds it: ``python lying_driver.py LIE``.

Each is the driver of Python but for its lie.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import struct
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from client.conformance.drivers.python.driver import Operations, serve

import holdfast
from holdfast import errors
from holdfast._patience import RetryPolicy
from holdfast._transfer import asking, committing, sending, uploading

AT_ONCE = RetryPolicy(window=0, first_window=0)


def flip_a_byte(path: Path) -> None:
    """Change the last file below a path, or the file itself."""
    file = path if path.is_file() else max(p for p in path.rglob("*") if p.is_file() and p.stat().st_size)
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    mode = file.stat().st_mode
    file.write_bytes(data)
    file.chmod(mode)


@contextlib.contextmanager
def changed_copy(path: str, change):
    """A copy of what is to be logged, under the same name, changed."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / Path(path).name
        if Path(path).is_dir():
            shutil.copytree(path, copy)
        else:
            shutil.copy2(path, copy)
        change(copy)
        yield str(copy)


class SaysNoVersion(Operations):
    def connect(self, **arguments):
        super().connect(**arguments)
        return {"server_version": ""}


class ClaimsSuccess(Operations):
    """No error is ever told."""

    def __getattribute__(self, name: str):
        do = super().__getattribute__(name)
        if name.startswith("_"):
            return do

        def swallow(**arguments):
            try:
                return do(**arguments)
            except (errors.HoldfastError, FileNotFoundError):
                return {"path": arguments.get("destination"), "server_version": "1.0.0", "entries": [], "version": "1"}

        return swallow


class GivesNoReasons(Operations):
    def __getattribute__(self, name: str):
        do = super().__getattribute__(name)
        if name.startswith("_"):
            return do

        def strip(**arguments):
            try:
                return do(**arguments)
            except errors.HoldfastError as error:
                raise type(error)(error.message, request_id=error.request_id) from None

        return strip


class GivesNoRequestIds(Operations):
    def get_run(self, run_id):
        try:
            return super().get_run(run_id)
        except errors.HoldfastError as error:
            raise type(error)(error.message, reason=error.reason) from None


class DigestsWithoutBlocks(Operations):
    def file_digest(self, path):
        import hashlib

        return {"digest": hashlib.sha256(Path(path).read_bytes()).hexdigest()}


class DigestsTreesWithoutFlags(Operations):
    def tree_digest(self, entries):
        return super().tree_digest([{**entry, "executable": False} for entry in entries])


class FinishesEveryRun(Operations):
    def finish_run(self, run_id, status):
        super().finish_run(run_id, "FINISHED")


class SpeaksAscii(Operations):
    def log_params(self, run_id, params):
        super().log_params(run_id, {key: value.encode("ascii", "replace").decode() for key, value in params.items()})


class OverwritesTags(Operations):
    def set_tags(self, run_id, tags):
        if "note" in tags:
            super().set_tags(run_id, tags)


class LogsZeroForNan(Operations):
    def log_metrics(self, run_id, metrics):
        super().log_metrics(run_id, [{**m, "value": 0.0 if m["value"] == "NaN" else m["value"]} for m in metrics])


class KeepsFloats(Operations):
    """Single precision."""

    def metric_history(self, run_id, key):
        points = super().metric_history(run_id, key)["points"]
        return {"points": [{**p, "value": self._single(p["value"])} for p in points]}

    @staticmethod
    def _single(value):
        if isinstance(value, str) or abs(value) > 1e38:
            return value
        return struct.unpack("f", struct.pack("f", value))[0]


class ReadsOnePage(Operations):
    def metric_history(self, run_id, key):
        return {"points": super().metric_history(run_id, key)["points"][:25_000]}

    def list_artifacts(self, uri, recursive=False):
        return {"entries": super().list_artifacts(uri, recursive)["entries"][:1_000]}


class SortsAsUtf16(Operations):
    def list_artifacts(self, uri, recursive=False):
        entries = super().list_artifacts(uri, recursive)["entries"]
        return {"entries": sorted(entries, key=lambda entry: entry["path"].encode("utf-16-be"))}


class DamagesDownloads(Operations):
    def download(self, uri, destination):
        answer = super().download(uri, destination)
        flip_a_byte(Path(answer["path"]))
        return answer


class DamagesUploads(Operations):
    def log_artifacts(self, run_id, local_dir, artifact_path=None):
        with changed_copy(local_dir, flip_a_byte) as copy:
            super().log_artifacts(run_id, copy, artifact_path)


class LosesExecutableBits(Operations):
    def download(self, uri, destination):
        answer = super().download(uri, destination)
        for path in Path(answer["path"]).rglob("*.sh"):
            path.chmod(0o644)
        return answer


class LosesEmptyDirectories(Operations):
    def log_artifacts(self, run_id, local_dir, artifact_path=None):
        with changed_copy(local_dir, lambda copy: (copy / "empty" / "directory").rmdir()) as copy:
            super().log_artifacts(run_id, copy, artifact_path)


class LogsContents(Operations):
    """Of a directory that is to keep its name."""

    def log_artifact(self, run_id, local_path, artifact_path=None):
        self.log_artifacts(run_id, local_path, artifact_path)


class SkipsEmptyFiles(Operations):
    def log_artifact(self, run_id, local_path, artifact_path=None):
        if Path(local_path).stat().st_size:
            super().log_artifact(run_id, local_path, artifact_path)


class KeepsWhatIsThere(Operations):
    def download(self, uri, destination):
        there = Path(destination, uri.rpartition("/")[2])
        return {"path": str(there)} if there.is_file() else super().download(uri, destination)


class ReadsFromBlocks(Operations):
    """Ranges begin at the block."""

    def read_range(self, uri, offset, length):
        return super().read_range(uri, offset - offset % 8, length)


class NeverAsks(Operations):
    """Everything is sent, whatever the server has."""

    def __init__(self):
        super().__init__()

        def all_of_them(_, digests, *__, **___):
            return list(dict.fromkeys(digests))

        for module in (asking, uploading, sending):
            module.find_missing = all_of_them
        committing.MissingBlocks = lambda _, batches: _Unasked(batches)
        uploading.MissingBlocks = lambda _, batches, **__: _Unasked(batches)


class _Unasked:
    def __init__(self, batches):
        self._batches = batches

    def __iter__(self):
        for batch in self._batches:
            yield batch, {block.digest for block in batch}

    def close(self):
        pass


class StartsOver(NeverAsks):
    """What broke begins from its beginning."""

    def connect(self, **arguments):
        answer = super().connect(**arguments)
        self._connected = holdfast.Client(arguments["uri"], retry=AT_ONCE, strict=True)
        return answer

    def log_artifact(self, run_id, local_path, artifact_path=None):
        self._until_done(lambda: Operations.log_artifact(self, run_id, local_path, artifact_path))

    def download(self, uri, destination):
        def anew():
            for left in Path(destination).glob(".holdfast-*"):
                left.unlink()
            return Operations.download(self, uri, destination)

        return self._until_done(anew)

    @staticmethod
    def _until_done(do):
        while True:
            try:
                return do()
            except errors.UnavailableError:
                time.sleep(0.05)


class GivesUp(Operations):
    def connect(self, **arguments):
        answer = super().connect(**arguments)
        self._connected = holdfast.Client(arguments["uri"], retry=AT_ONCE, strict=True)
        return answer


class WaitsBriefly(Operations):
    """A server that says what it lacks is as good as none."""

    def connect(self, **arguments):
        holdfast.Client = functools.partial(holdfast.Client, retry=RetryPolicy(window=5.0))
        return super().connect(**arguments)


class ExpectsNothing(Operations):
    def set_alias(self, name, alias, version, expected_version=None):
        super().set_alias(name, alias, version)


class TellsOfOtherAliases(Operations):
    def next_alias_change(self, alias):
        event = next(event for event in self._watch if event.alias)
        return {"version": event.version or ""}


class DoesNotWatch(Operations):
    def watch_model(self, name):
        self._name = name

    def next_alias_change(self, alias):
        return self.get_alias(self._name, alias)


class WatchesOnce(Operations):
    def watch_model(self, name):
        self._watch = self._client.watch_model(name, retry_for=0)
        next(self._watch)


class SendsOnce(Operations):
    """A block that does not arrive as it was is an error at once."""

    def __init__(self):
        super().__init__()
        sending.ATTEMPTS = 1


class CommitsOnce(Operations):
    """A small file that does not arrive as it was is an error at once."""

    def __init__(self):
        super().__init__()
        committing.MAX_DAMAGED = 1


class SendsNoDigests(Operations):
    """What a small file should have is not said."""

    def __init__(self):
        super().__init__()
        messages = committing._commit_messages

        def without(*arguments):
            for message in messages(*arguments):
                for entry in message.entries.entries:
                    entry.ClearField("digest")
                yield message

        committing._commit_messages = without


class LeavesWhatIsDamaged(Operations):
    def download(self, uri, destination):
        try:
            return super().download(uri, destination)
        except errors.DataLossError:
            name = uri.partition("/set")[1].strip("/")
            left = Path(destination, name, "part-00/model.bin" if name else "model.bin")
            left.parent.mkdir(parents=True, exist_ok=True)
            left.write_bytes(b"what came")
            raise


class Crashes(Operations):
    def create_run(self, experiment_id, name=""):
        print("a bug", file=sys.stderr, flush=True)
        os._exit(7)


class Hangs(Operations):
    def create_run(self, experiment_id, name=""):
        time.sleep(600)


class Lingers(Operations):
    """Does not end with its input."""


class Chatters(Operations):
    """Says more than it is asked."""

    def get_run(self, run_id):
        print('{"ok": {}}', flush=True)
        return super().get_run(run_id)


class Babbles(Operations):
    """Mixes other lines with its answers."""

    def create_run(self, experiment_id, name=""):
        print("creating a run …", flush=True)
        return super().create_run(experiment_id, name)


def main(lie: str) -> None:
    kind: type[Operations] = globals()[lie]
    serve(kind(), sys.stdin, sys.stdout)
    if kind is Lingers:
        time.sleep(600)


if __name__ == "__main__":
    main(sys.argv[1])
