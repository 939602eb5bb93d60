"""Flushing and ending: no longer than was said, all that there is, and what did not arrive is told."""

from __future__ import annotations

import contextlib
import logging
import math
import threading
from collections.abc import Iterator

import pytest

import holdfast
from holdfast import _background, _open_files
from holdfast._client import Client
from holdfast.errors import InvalidArgumentError, LocalFileError, UnavailableError, UnsentError

# Far longer than what is waited for here, far shorter than what would be without a bound.
LONG = 60.0


class StandingUpload:
    """An upload that goes on until it is told to end."""

    def __init__(self) -> None:
        self._end, self.ended = threading.Event(), threading.Event()

    def __call__(self) -> None:
        self._end.wait(LONG)
        self.ended.set()

    def end(self) -> None:
        self._end.set()


@pytest.fixture
def upload() -> Iterator[StandingUpload]:
    upload = StandingUpload()
    yield upload
    upload.end()


class StandingFile:
    """An artifact open for writing whose server does not answer, as far as ``_open_files`` knows it."""

    def __init__(self, error: Exception) -> None:
        self.run_id, self.channel, self.sending = "", None, threading.Lock()
        self.error, self.flushes = error, 0
        _open_files.add(self)

    def flush(self) -> None:
        self.flushes += 1
        raise self.error

    def close(self) -> None:
        _open_files.remove(self)

    def disown(self) -> None:
        """Nothing."""


def test_flush_waits_no_longer_than_it_was_told_to_for_an_upload(client, run_id, upload):
    future = client._background.begin(upload)
    client.log_metric(run_id, "m", 1.0)
    with pytest.raises(UnsentError) as told:
        client.flush(0.2)
    assert not future.done(), "it was not waited for"
    assert (told.value.uploading, told.value.failed_uploads, told.value.refused) == (1, 0, 0)
    assert "1 upload in the background did not end yet" in told.value.message
    upload.end()
    client.flush(LONG)
    assert future.done()


def test_a_flush_of_everything_has_one_end_for_all_of_it(fluent, upload):
    with holdfast.start_run() as run:
        with run.open_artifact("log.txt") as file:
            fluent._background.begin(upload)
            file.write("line")
            run.log_metric("m", 1.0)
            with pytest.raises(UnsentError) as told:
                holdfast.flush(10)
            assert not upload.ended.is_set()
            assert (told.value.uploading, told.value.waiting) == (1, 0)
            assert [info.file_size for info in fluent.list_live_artifacts(run.info.run_id)] == [4]
        upload.end()
    assert upload.ended.is_set()


@pytest.mark.parametrize("timeout", [-1, math.nan, "1", True])
def test_a_time_that_is_none_is_refused(client, fluent, timeout):
    for flush in (client.flush, holdfast.flush):
        with pytest.raises(InvalidArgumentError, match="timeout"):
            flush(timeout)


def test_flush_tells_once_of_an_upload_that_failed(client, run_id, tmp_path):
    future = client.log_artifact(run_id, tmp_path / "absent", synchronous=False)
    with pytest.raises(UnsentError) as told:
        client.flush()
    assert (told.value.uploading, told.value.failed_uploads) == (0, 1)
    assert "absent" in told.value.message, "why"
    assert isinstance(future.exception(), FileNotFoundError)
    client.flush()


def test_the_end_of_a_run_tells_of_an_upload_that_failed(fluent, tmp_path, caplog):
    with holdfast.start_run() as run:
        run.log_artifact(tmp_path / "absent", synchronous=False)
    assert run.refresh().info.status == "FINISHED"
    assert "1 upload in the background failed, whose files are to be logged again" in caplog.text


def test_the_end_of_a_run_of_a_strict_client_fails_for_an_upload_that_failed(server, experiment_id, tmp_path):
    with Client(server.uri, strict=True) as strict:
        run = strict.create_run(experiment_id)
        run.log_artifact(tmp_path / "absent", synchronous=False)
        with pytest.raises(UnsentError, match="failed"):
            run.end()
        assert run.refresh().info.status == "RUNNING"
        run.end()
        assert run.refresh().info.status == "FINISHED"


def test_the_end_of_a_client_tells_of_an_upload_that_failed(server, run_id, tmp_path, caplog):
    with Client(server.uri) as own:
        own.log_artifact(run_id, tmp_path / "absent", synchronous=False)
    assert "1 upload in the background failed" in caplog.text


def test_the_end_of_a_run_says_that_it_waits_for_an_upload(fluent, upload, monkeypatch, caplog):
    monkeypatch.setattr(_background, "TOLD_AFTER", 0.01)
    monkeypatch.setattr(_background, "TOLD_EVERY", LONG)
    waits = threading.Event()

    class Told(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "waits for uploads" in record.getMessage():
                waits.set()

    handler = Told()
    logging.getLogger(_background.__name__).addHandler(handler)
    run = holdfast.start_run()
    future = fluent._background.begin(upload)
    ending = threading.Thread(target=run.end)
    ending.start()
    try:
        assert waits.wait(LONG)
        assert not future.done()
        upload.end()
    finally:
        ending.join(LONG)
        logging.getLogger(_background.__name__).removeHandler(handler)
    assert f"The end of run {run.info.run_id} waits for uploads in the background (1)" in caplog.text
    assert run.refresh().info.status == "FINISHED"


def test_a_run_that_ctrl_c_ends_does_not_wait_for_an_upload_and_is_recorded_as_killed(fluent, upload, caplog):
    with contextlib.suppress(KeyboardInterrupt), holdfast.start_run() as run:
        fluent._background.begin(upload)
        raise KeyboardInterrupt
    assert not upload.ended.is_set()
    assert "1 upload in the background did not end yet" in caplog.text
    assert run.refresh().info.status == "KILLED"


@pytest.mark.parametrize(
    "error",
    [pytest.param(UnavailableError("away"), id="away"), pytest.param(LocalFileError("taken over"), id="final")],
)
def test_an_open_artifact_that_cannot_be_flushed_keeps_nothing_else_from_it(fluent, error):
    standing = StandingFile(error)
    try:
        with holdfast.start_run() as run, run.open_artifact("log.txt") as file:
            run.log_metric("m", 1.0)
            file.write("line")
            with pytest.raises(type(error)):
                holdfast.flush()
            assert standing.flushes == 1
            assert fluent._sender.waiting == 0
            assert [info.file_size for info in fluent.list_live_artifacts(run.info.run_id)] == [4]
    finally:
        standing.close()


def test_what_an_open_artifact_waits_for_has_an_end(server, client, run_id, monkeypatch):
    """The server holds the connection and does not answer."""
    from holdfast._transfer.live import LiveWriter

    goes_on = threading.Event()
    append = LiveWriter._append

    def stand_still(self: LiveWriter, offset: int, part: bytes) -> None:
        goes_on.wait(LONG)
        append(self, offset, part)

    monkeypatch.setattr(LiveWriter, "_append", stand_still)
    file = client.open_artifact(run_id, "log.txt")
    try:
        file.write("line")
        with pytest.raises(UnavailableError, match="flush again"):
            holdfast.flush(0.2)
    finally:
        goes_on.set()
        file.close()
    assert [info.file_size for info in client.list_artifacts(run_id)] == [4]


@pytest.mark.parametrize("way", ["client", "fluent", "run"])
def test_contents_are_uploaded_in_the_background_as_they_were_when_logged(fluent, way):
    with holdfast.start_run() as run:
        run_id = run.info.run_id
        ways = {"client": fluent, "fluent": holdfast, "run": run}
        log, first = ways[way], (run_id,) if way == "client" else ()
        data, settings = bytearray(b"abc"), {"a": 1}
        futures = [
            log.log_bytes(*first, data, "b", synchronous=False),
            log.log_dict(*first, settings, "d.json", synchronous=False),
            log.log_text(*first, "text", "t", synchronous=False),
        ]
        data[:] = b"xyz"
        settings["a"] = 2
        assert [future.result(LONG) for future in futures] == [None] * 3
        assert log.log_text(*first, "text", "now") is None
        assert {info.path for info in fluent.list_artifacts(run_id)} == {"b", "d.json", "now", "t"}
        assert holdfast.artifacts.load_text(f"runs:/{run_id}/b") == "abc"
        assert holdfast.artifacts.load_dict(f"runs:/{run_id}/d.json") == {"a": 1}
