"""An opened file reads what is asked for and no more, and reads ahead in bounded memory when it is read on and on."""

from __future__ import annotations

import io
import os
import pickle
import secrets
import signal
import threading
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from holdfast._client import Client
from holdfast._transfer.block_reading import BlockReader
from holdfast._transfer.reader import CACHED
from holdfast.errors import UnavailableError
from holdfast.format.digests import BLOCK_SIZE

MIB = 1 << 20


@pytest.fixture(scope="module")
def zipped(server) -> tuple[str, bytes]:
    """A run with a zip file of 80 MB, and its content."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        for number in range(40):
            made.writestr(f"{number:03}.bin", secrets.token_bytes(2_000_000))
    with Client(server.uri) as client:
        run_id = client.create_run("0").info.run_id
        client.log_bytes(run_id, file.getvalue(), "all.zip")
    return f"runs:/{run_id}/all.zip", file.getvalue()


@pytest.fixture
def uri(zipped) -> str:
    return zipped[0]


@pytest.fixture
def archive(zipped) -> bytes:
    return zipped[1]


def reading_ahead() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "holdfast-answers"]


def join_reading_ahead() -> None:
    for thread in reading_ahead():
        thread.join(60)
    assert not reading_ahead()


def test_the_directory_of_an_archive_costs_a_block_or_two(counted, proxy, uri, archive):
    with counted.artifacts.open(uri) as reader:
        before = proxy.received
        with zipfile.ZipFile(reader) as opened:
            assert len(opened.namelist()) == 40
            assert proxy.received - before < 2 * BLOCK_SIZE + MIB
            assert opened.read("020.bin") == zipfile.ZipFile(io.BytesIO(archive)).read("020.bin")
    # The member lies in two blocks at most.
    assert proxy.received - before < 4 * BLOCK_SIZE + MIB


def test_a_column_of_a_parquet_file_is_read_without_the_others(client, counted, proxy, run_id):
    columns = {f"c{i}": pa.array(memoryview(secrets.token_bytes(6_000_000)).cast("q").tolist()) for i in range(8)}
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file, compression="none", use_dictionary=False)
    client.log_bytes(run_id, file.getvalue(), "t.parquet")
    with counted.artifacts.open(f"runs:/{run_id}/t.parquet") as reader:
        before = proxy.received
        assert pq.ParquetFile(reader).metadata.num_columns == 8
        assert proxy.received - before < 2 * BLOCK_SIZE
        assert pq.read_table(reader, columns=["c2"])["c2"].equals(pa.chunked_array([columns["c2"]]))
    assert proxy.received - before < 4 * BLOCK_SIZE


def test_reading_back_and_forth_fetches_each_block_once(counted, proxy, uri, archive):
    with counted.artifacts.open(uri) as reader:
        before = proxy.received
        for _ in range(50):
            for offset in (100, 5 * BLOCK_SIZE + 7, len(archive) - 9):
                reader.seek(offset)
                assert reader.read(5) == archive[offset : offset + 5]
        assert proxy.received - before < 3 * BLOCK_SIZE + MIB


def test_reading_on_and_on_reads_ahead_in_bounded_memory(counted, proxy, uri, archive):
    with counted.artifacts.open(uri) as reader:
        raw, found, before = reader.raw, [], proxy.received
        while part := reader.read(100_000):
            found.append(part)
            assert len(raw._blocks) <= CACHED + 1
            ahead = {number - raw._last for number in raw._blocks}
            if 1 < raw._last < len(archive) // BLOCK_SIZE - 2:
                assert {1, 2} <= ahead
        assert b"".join(found) == archive
        assert proxy.received - before < len(archive) * 1.05
        reader.seek(3)
        assert reader.read() == archive[3:]
    join_reading_ahead()


def test_a_closed_reader_leaves_no_thread_and_refuses_reads(counted, proxy, uri, archive):
    reader = counted.artifacts.open(uri)
    reader.read(2 * BLOCK_SIZE + 1)
    join_reading_ahead()
    proxy.hold(received=0)
    reader.read(BLOCK_SIZE)  # was read ahead; what is to be next stalls
    assert reading_ahead()
    reader.close()
    join_reading_ahead()
    with pytest.raises(ValueError, match="closed"):
        reader.read(1)


@pytest.mark.parametrize("reads_on", [False, True], ids=["reading a piece", "reading on and on"])
def test_after_ctrl_c_in_a_read_the_file_goes_on(counted, proxy, uri, archive, reads_on):
    with counted.artifacts.open(uri) as reader:
        if reads_on:
            reader.read(3 * BLOCK_SIZE)
            join_reading_ahead()
        proxy.hold(received=0)
        interrupt = threading.Timer(0.3, signal.raise_signal, [signal.SIGINT])
        interrupt.start()
        with pytest.raises(KeyboardInterrupt):
            reader.read()
        interrupt.join()
        proxy.go_on()
        assert reader.seek(3 * BLOCK_SIZE + 5) == 3 * BLOCK_SIZE + 5
        assert reader.read(BLOCK_SIZE) == archive[3 * BLOCK_SIZE + 5 :][:BLOCK_SIZE]
        reader.seek(0)
        assert reader.read() == archive
    join_reading_ahead()


def test_what_failed_while_reading_ahead_is_fetched_anew_when_it_is_read(client, uri, archive, monkeypatch):
    """An outage that was over long before."""
    failing, read = {3, 4}, BlockReader.read

    def fail_once(self, *arguments, offset, **options):
        if offset // BLOCK_SIZE in failing:
            failing.remove(offset // BLOCK_SIZE)
            raise UnavailableError("away")
        return read(self, *arguments, offset=offset, **options)

    monkeypatch.setattr(BlockReader, "read", fail_once)
    with client.artifacts.open(uri) as reader:
        assert reader.read(3 * BLOCK_SIZE) == archive[: 3 * BLOCK_SIZE]
        join_reading_ahead()
        assert not failing
        assert reader.read() == archive[3 * BLOCK_SIZE :]
        reader.seek(0)
        failing.add(0)
        with pytest.raises(UnavailableError):
            reader.read(1)
        assert reader.read(1) == archive[:1]


def test_threads_may_share_a_reader_and_each_byte_comes_to_one_of_them(client, uri, archive):
    with client.artifacts.open(uri) as reader:
        counts: list[int] = []

        def read() -> None:
            count = 0
            while part := reader.read(1 << 16):
                count += len(part)
            counts.append(count)

        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert sum(counts) == len(archive)


def test_a_reader_behaves_as_a_file_at_its_edges(client, run_id):
    client.log_bytes(run_id, b"0123456789", "f")
    client.log_bytes(run_id, b"", "empty")
    with client.artifacts.open(f"runs:/{run_id}/f") as reader:
        assert (reader.seek(100), reader.read(), reader.tell()) == (100, b"", 100)
        assert (reader.seek(-3, os.SEEK_END), reader.read(2), reader.seek(-1, os.SEEK_CUR)) == (7, b"78", 8)
        assert reader.peek(1)[:2] == b"89"
        with pytest.raises(ValueError, match="before the beginning"):
            reader.seek(-11, os.SEEK_END)
        with pytest.raises(io.UnsupportedOperation):
            reader.write(b"x")
        with pytest.raises(TypeError, match="pickle"):
            pickle.dumps(reader)
    with client.artifacts.open(f"runs:/{run_id}/empty") as reader:
        assert reader.read() == b""
