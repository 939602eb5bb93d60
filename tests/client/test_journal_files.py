"""The journal's files: what is whole after a crash, what is delivered, and who holds them."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from holdfast._config import parse_target
from holdfast._journal import segment as segments
from holdfast._journal.folder import Folder, Owner, folders, journal_root
from holdfast._journal.journal import Journal
from holdfast._journal.reading import Reader
from holdfast._journal.records import POINT_SIZE
from holdfast._journal.segment import START, Segment
from holdfast.v1.run_service_pb2 import LogBatchRequest

TARGET = parse_target("holdfast://127.0.0.1:1")
RUN = "0" * 32


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of the test's own."""
    monkeypatch.setenv("HOLDFAST_JOURNAL_DIR", str(tmp_path / "journals"))
    return tmp_path / "journals"


@pytest.fixture
def journal() -> Journal:
    """A journal that nobody empties."""
    return Journal(TARGET, on_work=lambda: None, wait_for_room=lambda _seconds: False)


def log(journal: Journal, count: int, *, key: str = "loss", run_id: str = RUN, first: int = 0) -> None:
    series = journal.known_series((run_id, key, None, None, None))
    for step in range(first, first + count):
        journal.append_point(series, step / 2, 1_700_000_000_000 + step, step)


def points(segment: Segment) -> list[tuple[int, str, int, float]]:
    """Position in the stream, key, step and value of all points that would be sent."""
    found = []
    for outgoing in Reader(segment).requests(segment.end):
        if isinstance(outgoing.request, LogBatchRequest):
            columns, first = outgoing.request.metric_columns, outgoing.request.writer_sequence
            of = columns.series_positions or [0] * len(columns.values)
            for number, (at, step, value) in enumerate(zip(of, columns.steps, columns.values, strict=True), first):
                found.append((number, columns.series[at].key, step, value))
    return found


def test_what_is_logged_is_read_again_by_another_process(journal, root):
    log(journal, 2_500)
    journal.append_call("UpdateRun", b"")
    log(journal, 1, key="other", first=7)
    reopened = Segment.open(next(root.glob("*/*.segment")))
    expected = [(step, "loss", step, step / 2) for step in range(2_500)] + [(2_500, "other", 7, 3.5)]
    assert points(reopened) == expected
    assert Reader(reopened).count() == 2_502


def test_requests_have_a_thousand_points_and_one_stream_each(journal):
    log(journal, 2_500)
    log(journal, 10, run_id="1" * 32)
    segment = journal.segments[0]
    sizes = [
        (outgoing.request.run_id[0], len(outgoing.request.metric_columns.values), outgoing.request.writer_sequence)
        for outgoing in Reader(segment).requests(segment.end)
        if outgoing.request is not None
    ]
    assert sizes == [("0", 1_000, 0), ("0", 1_000, 1_000), ("0", 500, 2_000), ("1", 10, 0)]


@pytest.mark.parametrize("cut", [8, POINT_SIZE - 1, POINT_SIZE // 2])
def test_a_record_that_was_being_written_ends_the_journal(journal, root, cut):
    log(journal, 10)
    path = next(root.glob("*/*.segment"))
    end = journal.segments[0].end
    data = bytearray(path.read_bytes())
    data[end - cut : end] = bytes(cut)
    path.write_bytes(data)
    assert len(points(Segment.open(path))) == 9


def test_bytes_that_were_changed_end_the_journal(journal, root):
    log(journal, 10)
    path = next(root.glob("*/*.segment"))
    data = bytearray(path.read_bytes())
    data[journal.segments[0].end - 3 * POINT_SIZE - 5] ^= 1
    path.write_bytes(data)
    assert len(points(Segment.open(path))) == 6


def test_what_is_delivered_is_not_read_again(journal, root):
    log(journal, 10)
    half = journal.segments[0].end
    log(journal, 10, first=10)
    journal.segments[0].note_delivered(half)
    reopened = Segment.open(next(root.glob("*/*.segment")))
    assert reopened.delivered == half
    assert [step for _, _, step, _ in points(reopened)] == list(range(10, 20))
    assert points(reopened)[0][0] == 10, "positions go on where they were"


def test_a_mark_that_was_being_written_leaves_the_one_before(journal, root):
    log(journal, 10)
    segment = journal.segments[0]
    for position in (100, 200, 300):
        segment.note_delivered(position)
    path = next(root.glob("*/*.segment"))
    data = bytearray(path.read_bytes())
    data[64:84] = b"\xff" * 20  # where the third one is, after the first
    path.write_bytes(data)
    assert Segment.open(path).delivered == 200


def test_segments_follow_each_other_and_positions_with_them(journal, monkeypatch):
    monkeypatch.setattr(segments, "SIZE", 64 << 10)
    log(journal, 5_000)
    assert len(journal.segments) == 3
    found = [point for segment in journal.segments for point in points(segment)]
    assert [(position, step) for position, _, step, _ in found] == [(step, step) for step in range(5_000)]


def test_wide_names_fit_at_the_end_of_a_segment(journal, monkeypatch):
    monkeypatch.setattr(segments, "SIZE", 32 << 10)
    keys = [f"{number:03}" + "\N{GRINNING FACE}" * 247 for number in range(40)]
    for key in keys:
        journal.append_point(journal.known_series((RUN, key, None, "d" * 500, "e" * 36)), 1.0, 0, 0)
    assert [key for segment in journal.segments for _, key, _, _ in points(segment)] == keys


def test_files_are_private(journal, root):
    log(journal, 1)
    for path in (root, *root.glob("*"), *root.glob("*/*")):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0


def test_nothing_is_written_before_something_is_logged(journal, root):
    assert not root.exists()
    journal.close(drained=True)


def test_a_journal_that_is_delivered_is_removed(journal, root):
    log(journal, 1)
    journal.close(drained=True)
    assert list(root.iterdir()) == []


def test_a_journal_is_held_until_it_is_closed(journal, root):
    log(journal, 1)
    (path,) = folders(root)
    assert Folder.take(path) is None
    journal.close(drained=False)
    taken = Folder.take(path)
    assert taken is not None
    assert (taken.owner.uri, taken.owner.pid, taken.owner.family) == (TARGET.uri, os.getpid(), journal.id)
    assert Folder.take(path) is None
    taken.remove()
    assert Folder.take(path) is None


def test_the_system_lets_go_of_a_journal_whose_process_was_killed(root):
    code = (
        "import os, signal\n"
        "from holdfast._journal.folder import Folder, Owner\n"
        "Folder.create('left', Owner.this_process('holdfast://127.0.0.1:1', 'left'))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=False)
    taken = Folder.take(root / "left")
    assert taken is not None
    taken.remove()


def test_what_is_no_journal_is_left_alone(root):
    (root / "other").mkdir(parents=True)
    (root / "file").write_text("x")
    assert [path.name for path in folders(root)] == ["other"]
    assert Folder.take(root / "other") is None
    (root / "broken").mkdir()
    (root / "broken" / "owner.lock").write_text("{")
    assert Folder.take(root / "broken") is None
    with pytest.raises(ValueError, match="not a segment"):
        Segment.open(_file(root / "x.segment", b"x" * 200))
    with pytest.raises(ValueError):
        Segment.open(_file(root / "y.segment", b""))


def _file(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        pytest.param({"HOLDFAST_JOURNAL_DIR": "/a/b"}, Path("/a/b"), id="given"),
        pytest.param({"XDG_STATE_HOME": "/state"}, Path("/state/holdfast/journal"), id="xdg"),
        pytest.param({}, Path.home() / ".local/state/holdfast/journal", id="home"),
    ],
)
def test_journals_are_where_the_environment_says(environ, expected):
    assert journal_root(environ) == expected


def test_without_a_place_to_write_memory_takes_the_journal_s_place_and_says_so_once(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("no directory")
    monkeypatch.setenv("HOLDFAST_JOURNAL_DIR", str(tmp_path / "file" / "journals"))
    monkeypatch.setattr(segments, "SIZE", 64 << 10)
    journal = Journal(TARGET, on_work=lambda: None, wait_for_room=lambda _seconds: False)
    log(journal, 5_000)
    assert [len(points(segment)) > 0 for segment in journal.segments] == [True] * len(journal.segments)
    assert sum(len(points(segment)) for segment in journal.segments) == 5_000
    assert [record.message[:29] for record in caplog.records] == ["No journal can be written ([E"]
    assert journal.folder is None


def test_memory_that_is_full_loses_what_is_logged_and_counts_it(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("no directory")
    monkeypatch.setenv("HOLDFAST_JOURNAL_DIR", str(tmp_path / "file" / "journals"))
    monkeypatch.setattr(segments, "SIZE", 32 << 10)
    journal = Journal(TARGET, on_work=lambda: None, wait_for_room=lambda _seconds: False)
    log(journal, 20_000)
    kept = sum(len(points(segment)) for segment in journal.segments)
    assert len(journal.segments) == 16
    assert journal.appended == kept < 20_000
    assert journal.take_lost() == 20_000 - kept
    assert journal.take_lost() == 0
    assert "is lost" in caplog.records[-1].message
    assert len(caplog.records) == 2


def test_a_disk_without_room_is_found_before_it_is_written(tmp_path, monkeypatch, journal):
    def full(descriptor: int, offset: int, length: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    log(journal, 3)
    assert journal.segments[0].path is None
    assert not list((tmp_path / "journals").glob("*/*.segment"))


def test_the_owner_says_what_runs(root):
    owner = Owner.this_process("unix:/x", "family")
    assert owner.program == sys.argv[0]
    assert START % 32 == 0
