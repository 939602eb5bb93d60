"""What the block pipeline promises, against a real server: verified, atomic, deduplicated, clear when it refuses."""

from __future__ import annotations

import io
import os
import secrets
import socket
import tempfile
import threading
from pathlib import Path

import pytest
from tests.client.conftest import ServerThread

from holdfast._client import Client
from holdfast._patience import RetryPolicy
from holdfast._transfer import hashing
from holdfast.errors import (
    DataLossError,
    FailedPreconditionError,
    InvalidArgumentError,
    LocalFileError,
    NotFoundError,
    UnavailableError,
)

MIB = 1 << 20


def stored_objects(server) -> dict[Path, int]:
    """Files of the server's block store, with their sizes."""
    store = server.app.config.data_dir / "store"
    return {path: path.stat().st_size for path in store.rglob("*") if path.is_file()}


def stored_bytes(server) -> int:
    return sum(stored_objects(server).values())


def paths(client: Client, run_id: str) -> list[str]:
    return [file.path for file in client.artifacts.list(f"runs:/{run_id}", recursive=True)]


def tree_of(folder: Path) -> dict[str, bytes | None]:
    """Contents by relative path; None for directories."""
    return {str(p.relative_to(folder)): None if p.is_dir() else p.read_bytes() for p in folder.rglob("*")}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A directory with files of all sizes that matter."""
    root = tmp_path / "source"
    sizes = {
        "empty": 0,
        "one": 1,
        "inline": 64 << 10,
        "small/a": 70_000,
        "small/b": MIB,
        "block": 8 * MIB,
        "big": 8 * MIB + 1,
    }
    for name, size in sizes.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(secrets.token_bytes(size))
    (root / "nothing/in/here").mkdir(parents=True)
    script = root / "run.sh"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    (root / "ünï code.txt").write_text("ü")
    return root


def test_a_tree_comes_back_as_it_was(client, run_id, folder, tmp_path):
    client.log_artifacts(run_id, folder, "in/here")
    back = Path(client.download_artifacts(run_id, "in/here", tmp_path / "back"))
    assert back == tmp_path / "back" / "in/here"
    assert tree_of(back) == tree_of(folder)
    assert os.access(back / "run.sh", os.X_OK)
    assert not os.access(back / "one", os.X_OK)
    assert not list(back.rglob("*.part"))


def test_logging_the_same_again_stores_nothing(client, server, run_id, folder):
    client.log_artifacts(run_id, folder)
    before = stored_bytes(server)
    client.log_artifacts(run_id, folder, "again")
    assert stored_bytes(server) == before


def test_a_file_that_grew_sends_only_its_new_blocks(client, server, run_id, tmp_path):
    file = tmp_path / "log"
    file.write_bytes(secrets.token_bytes(16 * MIB))
    client.log_artifact(run_id, file)
    before = stored_bytes(server)
    with file.open("ab") as more:
        more.write(b"x" * 1000)
    client.log_artifact(run_id, file)
    assert stored_bytes(server) - before == 1000


def test_equal_blocks_of_one_call_are_stored_once(client, server, run_id, tmp_path):
    before = stored_bytes(server)
    content = secrets.token_bytes(200_000)
    for number in range(20):
        (tmp_path / f"{number}").write_bytes(content)
    client.log_artifacts(run_id, tmp_path)
    assert stored_bytes(server) - before == 200_000


def test_small_files_share_objects(client, server, run_id, tmp_path):
    before = len(stored_objects(server))
    for number in range(1_000):
        (tmp_path / f"{number}").write_bytes(secrets.token_bytes(2_000))
    client.log_artifacts(run_id, tmp_path)
    assert len(stored_objects(server)) - before <= 10


def test_a_stream_of_unknown_length_is_one_file(client, run_id):
    class Trickle(io.RawIOBase):
        """Gives at most 100,000 bytes at a time, as a pipe would."""

        def __init__(self, data: bytes) -> None:
            self._rest = memoryview(data)

        def read(self, size: int = -1) -> bytes:
            part, self._rest = self._rest[: min(size, 100_000)], self._rest[min(size, 100_000) :]
            return bytes(part)

    data = secrets.token_bytes(17 * MIB + 3)
    client.log_stream(run_id, Trickle(data), "out/all.tar")
    client.log_stream(run_id, io.BytesIO(b""), "out/empty")
    assert client.artifacts.read_bytes(f"runs:/{run_id}/out/all.tar") == data
    assert client.artifacts.read_bytes(f"runs:/{run_id}/out/empty") == b""


def test_an_opened_file_reads_ranges(client, run_id):
    data = secrets.token_bytes(20 * MIB)
    client.log_bytes(run_id, data, "f")
    with client.artifacts.open(f"runs:/{run_id}/f") as reader:
        for offset, size in [(0, 10), (8 * MIB - 5, 10), (19 * MIB, 5), (20 * MIB - 3, 100), (20 * MIB + 9, 1)]:
            reader.seek(offset)
            assert reader.read(size) == data[offset : offset + size]
        reader.seek(-7, io.SEEK_END)
        assert reader.read() == data[-7:]


def test_a_download_replaces_what_is_there_and_leaves_the_rest(client, run_id, tmp_path):
    client.log_text(run_id, "new", "d/a.txt")
    (tmp_path / "d").mkdir()
    (tmp_path / "d/a.txt").write_text("old")
    (tmp_path / "d/mine.txt").write_text("mine")
    client.download_artifacts(run_id, "d", tmp_path)
    assert tree_of(tmp_path / "d") == {"a.txt": b"new", "mine.txt": b"mine"}


def test_links_inside_are_followed_and_those_that_leave_are_refused(client, run_id, tmp_path):
    root = tmp_path / "root"
    (root / "d").mkdir(parents=True)
    (root / "d/f").write_text("inside")
    (root / "link").symlink_to("d/f")
    (root / "dirlink").symlink_to("d")
    client.log_artifacts(run_id, root)
    assert set(paths(client, run_id)) >= {"link", "dirlink/f", "d/f"}
    (tmp_path / "secret").write_text("outside")
    (root / "out").symlink_to(tmp_path / "secret")
    with pytest.raises(LocalFileError, match=r"out leaves .*symlinks='follow'"):
        client.log_artifacts(run_id, root, "second")
    assert "second" not in paths(client, run_id)
    client.log_artifacts(run_id, root, "third", symlinks="follow")
    assert client.artifacts.read_bytes(f"runs:/{run_id}/third/out") == b"outside"


def _fifo(root: Path) -> None:
    os.mkfifo(root / "bad")


def _socket(root: Path) -> None:
    with tempfile.TemporaryDirectory() as short, socket.socket(socket.AF_UNIX) as bound:
        bound.bind(f"{short}/s")  # the name of a socket is short when it is bound; it may be moved then
        Path(short, "s").rename(root / "bad")


def _broken_link(root: Path) -> None:
    (root / "bad").symlink_to("nowhere")


def _loop(root: Path) -> None:
    (root / "bad").symlink_to(root)


def _not_utf8(root: Path) -> None:
    Path(os.fsdecode(os.fsencode(root) + b"/bad\xff")).touch()


SPECIAL = [
    pytest.param(_fifo, "fifo", id="fifo"),
    pytest.param(_socket, "socket", id="socket"),
    pytest.param(_broken_link, "broken", id="broken-link"),
    pytest.param(_loop, "leads back", id="loop"),
    pytest.param(_not_utf8, "UTF-8", id="not-utf8"),
]


@pytest.mark.parametrize(("make", "message"), SPECIAL)
def test_what_cannot_be_logged_is_named_and_nothing_is_kept(client, run_id, tmp_path, make, message):
    (tmp_path / "good").write_text("good")
    make(tmp_path)
    with pytest.raises(LocalFileError, match=rf"bad.*{message}|{message}.*bad"):
        client.log_artifacts(run_id, tmp_path)
    assert paths(client, run_id) == []


def test_a_file_that_changes_while_it_is_read_is_an_error(client, run_id, tmp_path, monkeypatch):
    file = tmp_path / "growing.log"
    file.write_bytes(b"x" * (9 * MIB))
    read = hashing._read

    def read_while_it_grows(piece):
        if piece.offset:
            with file.open("ab") as more:
                more.write(b"y")
        return read(piece)

    monkeypatch.setattr(hashing, "_read", read_while_it_grows)
    with pytest.raises(LocalFileError, match=r"growing\.log changed"):
        client.log_artifact(run_id, file)
    assert paths(client, run_id) == []


def test_a_directory_is_not_a_file_and_a_file_no_directory(client, run_id, tmp_path):
    file = tmp_path / "f"
    file.write_text("x")
    with pytest.raises(NotADirectoryError, match="log_artifact"):
        client.log_artifacts(run_id, file)
    with pytest.raises(FileNotFoundError, match="nothing"):
        client.log_artifact(run_id, tmp_path / "nothing")
    with pytest.raises(FileNotFoundError, match="nothing"):
        client.log_artifacts(run_id, tmp_path / "nothing")


@pytest.mark.parametrize("bad", ["/abs", "../up", "a//b", "a\\b", "C:x", "s3://x/y", "a%2fb", " a", "a.", "x" * 300])
def test_a_bad_path_is_refused_before_anything_is_sent(client, server, run_id, tmp_path, bad):
    file = tmp_path / "f"
    file.write_bytes(secrets.token_bytes(100_000))
    before = stored_bytes(server)
    with pytest.raises(InvalidArgumentError, match="is refused: ") as caught:
        client.log_artifact(run_id, file, bad)
    assert caught.value.reason == "INVALID_PATH"
    assert stored_bytes(server) == before


def test_a_directory_with_a_bad_name_is_refused_before_anything_is_sent(client, server, run_id, tmp_path):
    (tmp_path / "good").write_bytes(secrets.token_bytes(100_000))
    (tmp_path / "bad.").write_text("x")
    before = stored_bytes(server)
    with pytest.raises(InvalidArgumentError, match="end with a space or a dot"):
        client.log_artifacts(run_id, tmp_path)
    assert stored_bytes(server) == before


def test_unknown_and_deleted_runs_are_refused_and_finished_ones_accept(client, run_id, tmp_path):
    file = tmp_path / "f"
    file.write_text("x")
    with pytest.raises(NotFoundError, match="0000") as caught:
        client.log_artifact("0" * 32, file)
    assert caught.value.reason == "RUN_NOT_FOUND"
    client.set_terminated(run_id)
    client.log_artifact(run_id, file)
    client.delete_run(run_id)
    with pytest.raises(FailedPreconditionError, match="restore"):
        client.log_artifact(run_id, file, "more")


def test_a_server_that_is_not_there_is_named_with_the_way_to_start_one(tmp_path):
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))  # bound and not listening: nobody else gets the port
        address = f"127.0.0.1:{reserved.getsockname()[1]}"
        with (
            Client(f"holdfast://{address}", retry=RetryPolicy(first_window=0.1)) as client,
            pytest.raises(UnavailableError, match=rf"{address}[\s\S]*holdfast server"),
        ):
            client.log_text("0" * 32, "x", "x.txt")


def test_a_flipped_bit_on_the_servers_disk_is_an_error_and_never_data(client, server, run_id, tmp_path):
    before = set(stored_objects(server))
    client.log_bytes(run_id, secrets.token_bytes(3 * MIB), "weights")
    (stored,) = set(stored_objects(server)) - before
    data = bytearray(stored.read_bytes())
    data[MIB] ^= 1
    stored.write_bytes(data)
    with pytest.raises(DataLossError, match="damaged"):
        client.download_artifacts(run_id, "weights", tmp_path)
    assert tree_of(tmp_path) == {}


def test_a_lost_object_is_an_error_that_says_so(client, server, run_id, tmp_path):
    before = set(stored_objects(server))
    client.log_bytes(run_id, secrets.token_bytes(100), "small")
    (stored,) = set(stored_objects(server)) - before
    stored.unlink()
    with pytest.raises(DataLossError, match="lost"):
        client.artifacts.read_bytes(f"runs:/{run_id}/small")


def test_concurrent_uploads_of_the_same_content_are_all_whole(client, run_id, tmp_path):
    content = secrets.token_bytes(9 * MIB)
    (tmp_path / "f").write_bytes(content)
    calls = [threading.Thread(target=client.log_artifact, args=(run_id, tmp_path / "f", f"d{i}")) for i in range(6)]
    for call in calls:
        call.start()
    for call in calls:
        call.join()
    for i in range(6):
        assert client.artifacts.read_bytes(f"runs:/{run_id}/d{i}/f") == content


def test_a_runs_root_shows_its_models_and_its_own_file_wins(client, experiment_id, run_id, tmp_path):
    (tmp_path / "MLmodel").write_text("first")
    model = client.create_logged_model(experiment_id, name="forest", source_run_id=run_id)
    client.log_model_artifacts(model.model_id, tmp_path)
    client.log_text(run_id, "own", "notes.txt")
    assert paths(client, run_id) == ["notes.txt"]  # a model that is still being written is not shown
    client.finalize_logged_model(model.model_id, "READY")
    failed = client.create_logged_model(experiment_id, name="forest", source_run_id=run_id)
    client.finalize_logged_model(failed.model_id, "FAILED")  # and one that failed hides nothing
    assert paths(client, run_id) == ["forest", "forest/MLmodel", "notes.txt"]
    assert client.artifacts.read_bytes(f"runs:/{run_id}/forest/MLmodel") == b"first"
    assert [f.path for f in client.list_artifacts(run_id, "forest")] == ["forest/MLmodel"]
    whole = Path(client.download_artifacts(run_id, dst_path=tmp_path / "all"))
    assert tree_of(whole) == {"forest": None, "forest/MLmodel": b"first", "notes.txt": b"own"}
    client.log_text(run_id, "mine", "forest/own.txt")
    assert paths(client, run_id) == ["forest", "forest/own.txt", "notes.txt"]


def test_long_names_of_any_script_come_back(client, run_id, tmp_path):
    name = "语" * 83 + ".bin"  # 253 bytes
    client.log_bytes(run_id, b"x", name)
    client.download_artifacts(run_id, dst_path=tmp_path)
    assert tree_of(tmp_path) == {name: b"x"}


def test_a_stream_of_text_is_refused_with_the_way_out(client, run_id):
    with pytest.raises(InvalidArgumentError, match="mode 'rb'"):
        client.log_stream(run_id, io.StringIO("text"), "f")


def test_an_artifact_path_may_be_a_path_object(client, run_id, tmp_path):
    (tmp_path / "f").write_text("x")
    client.log_artifact(run_id, tmp_path / "f", Path("a/b"))
    assert paths(client, run_id) == ["a", "a/b", "a/b/f"]


def test_a_download_onto_what_stands_in_the_way_is_refused(client, run_id, tmp_path):
    client.log_text(run_id, "x", "d/f")
    (tmp_path / "d").write_text("a file where a directory must be")
    with pytest.raises(LocalFileError, match="cannot be written"):
        client.download_artifacts(run_id, dst_path=tmp_path)
    (tmp_path / "e/d/f").mkdir(parents=True)
    with pytest.raises(LocalFileError, match="is a directory here"):
        client.download_artifacts(run_id, dst_path=tmp_path / "e")


def test_a_download_does_not_leave_its_directory_through_a_link(client, run_id, tmp_path):
    client.log_text(run_id, "x", "d/f")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out/d").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(LocalFileError, match="symbolic link"):
        client.download_artifacts(run_id, dst_path=tmp_path / "out")
    assert tree_of(tmp_path / "elsewhere") == {}


def test_a_store_that_cannot_be_written_is_unavailable_not_data_loss(tmp_path):
    server = ServerThread(tmp_path / "data")
    try:
        with Client(server.uri, retry=RetryPolicy(window=0.3)) as client:
            run_id = client.create_run("0").info.run_id
            incoming = tmp_path / "data/store/.incoming"
            incoming.rename(tmp_path / "away")
            incoming.write_text("in the way")
            for size in (100, 3 * MIB):
                with pytest.raises(UnavailableError, match="block store cannot be written"):
                    client.log_bytes(run_id, secrets.token_bytes(size), "f")
            incoming.unlink()
            (tmp_path / "away").rename(incoming)
            client.log_bytes(run_id, b"x", "f")
    finally:
        server.stop()


def test_only_a_ready_model_is_registered(client, experiment_id, run_id, name, tmp_path):
    (tmp_path / "MLmodel").write_text("x")
    model = client.create_logged_model(experiment_id, name="m", source_run_id=run_id)
    client.log_model_artifacts(model.model_id, tmp_path)
    with pytest.raises(FailedPreconditionError, match="PENDING, not READY") as caught:
        client.register_logged_model(name, model.model_id)
    assert caught.value.reason == "MODEL_NOT_READY"
    with pytest.raises(NotFoundError):
        client.get_registered_model(name)
    client.finalize_logged_model(model.model_id, "READY")
    assert client.register_logged_model(name, model.model_id).version == "1"


def test_a_deleted_model_is_gone_by_its_id_and_stays_by_its_version(client, experiment_id, name, tmp_path):
    (tmp_path / "MLmodel").write_text("x")
    model = client.create_logged_model(experiment_id, name="m")
    client.log_model_artifacts(model.model_id, tmp_path)
    client.finalize_logged_model(model.model_id, "READY")
    client.register_logged_model(name, model.model_id)
    client.delete_logged_model(model.model_id)
    with pytest.raises(NotFoundError, match="restore"):
        client.artifacts.read_bytes(f"models:/{model.model_id}/MLmodel")
    assert client.artifacts.read_bytes(f"models:/{name}/1/MLmodel") == b"x"
