"""Archives that are damaged, made by somebody who means ill, or no archives at all."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.client.conftest import ServerThread

from holdfast._archive import members
from holdfast._archive.reader import Archive
from holdfast._archive.writer import ArchiveWriter, new_archive
from holdfast._client import Client
from holdfast.errors import (
    DataLossError,
    HoldfastError,
    InvalidArgumentError,
    LocalFileError,
    NotFoundError,
)


@pytest.fixture(scope="module")
def small_archive(tmp_path_factory) -> bytes:
    """An archive of a version with little in it."""
    folder = tmp_path_factory.mktemp("small")
    server = ServerThread(folder / "data")
    with Client(server.uri) as client:
        run_id = client.create_run("0").info.run_id
        client.log_text(run_id, "weights", "model/MLmodel")
        client.log_text(run_id, "w", "model/b/c")
        client.create_model_version("m", f"runs:/{run_id}/model", create_registered_model=True)
        client.export_model_version("m", 1, folder / "archive")
    server.stop()
    return (folder / "archive").read_bytes()


def test_every_flipped_bit_is_found(small_archive, tmp_path):
    path = tmp_path / "archive"
    path.write_bytes(small_archive)
    assert Archive(path).head["kind"] == "model_version"
    for at in range(0, len(small_archive), 7):
        damaged = bytearray(small_archive)
        damaged[at] ^= 1 << at % 8
        path.write_bytes(damaged)
        with pytest.raises((DataLossError, InvalidArgumentError)):
            Archive(path)


def test_every_cut_is_found(small_archive, tmp_path):
    path = tmp_path / "archive"
    for length in range(0, len(small_archive), 97):
        path.write_bytes(small_archive[:length])
        with pytest.raises((DataLossError, InvalidArgumentError)):
            Archive(path)
    path.write_bytes(small_archive[:-512])
    with pytest.raises(DataLossError, match="cut off"):
        Archive(path)
    path.write_bytes(small_archive + b"\0")
    with pytest.raises(DataLossError):
        Archive(path)


@pytest.mark.parametrize("damage", ["flipped", "cut"])
def test_nothing_is_imported_of_a_damaged_archive(other, small_archive, tmp_path, damage):
    damaged = bytearray(small_archive)
    if damage == "flipped":
        damaged[small_archive.index(b"weights")] ^= 1
    else:
        del damaged[-2_000:]
    (tmp_path / "archive").write_bytes(damaged)
    with pytest.raises(DataLossError, match="Nothing was imported"):
        other.import_model_version(tmp_path / "archive")
    assert other.search_registered_models() == []
    assert other.search_logged_models(["0"]) == []


def rewritten(path: Path, archive: bytes, change: Callable[[dict[str, bytes]], None]) -> Path:
    """An archive made of another's members, changed, with fitting digests: what somebody who means ill can make."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        contents = {member.name: tar.extractfile(member).read() for member in tar.getmembers()}
    del contents[members.SUMS]
    change(contents)
    with path.open("wb") as stream:
        writer = ArchiveWriter(stream)
        for name, data in contents.items():
            if name.startswith("files/"):
                with writer.file(bytes.fromhex(name[6:])) as write:
                    write(data)
            else:
                with writer.lines(name) as write:
                    write(data)
        writer.finish()
    return path


def line(**fields: object) -> bytes:
    return json.dumps(fields).encode() + b"\n"


W = "50e721e49c013f00c62cf59f2163542a9d8df02464efeb615d31051b0fddc326"
HOSTILE = {
    "leaves the tree": ({"entries.jsonl": line(path="../../etc/cron.d/x", size=1, digest=W)}, "refused"),
    "absolute": ({"entries.jsonl": line(path="/etc/passwd", size=1, digest=W)}, "refused"),
    "empty path": ({"entries.jsonl": line(path="", size=1, digest=W)}, "refused"),
    "wrong size": ({"entries.jsonl": line(path="a", size=2, digest=W)}, "lacks the content"),
    "enormous size": ({"entries.jsonl": line(path="a", size=1 << 62, digest=W)}, "lacks the content"),
    "absent content": ({"entries.jsonl": line(path="a", size=1, digest="00" * 32)}, "lacks the content"),
    "short digest": ({"entries.jsonl": line(path="a", size=1, digest="00")}, "lacks the content"),
    "both file and directory": (
        {"entries.jsonl": line(path="a", size=1, digest=W) + line(path="a/b", size=1, digest=W)},
        "both as a file and as a directory",
    ),
    "twice": ({"entries.jsonl": line(path="a", size=1, digest=W) * 2}, "not in order"),
    "no entries": ({"entries.jsonl": b"[]\n7\n"}, "none of an export"),
    "endless line": ({"entries.jsonl": b'{"path": "a'}, "does not end"),
    "not JSON": ({"version.json": b"\xff{"}, "not JSON"),
    "deep JSON": ({"version.json": b"[" * 200_000}, "not JSON"),
    "no object": ({"version.json": b"[]"}, "no JSON object"),
    "no version": ({"version.json": b'{"name": {"a": 1}}'}, "ModelVersion"),
    "bad name": ({"version.json": b'{"name": "a/b", "path": "model"}'}, "registered model name"),
    "newer format": (
        {"holdfast.json": b'{"format": "holdfast-archive", "format_version": 2, "kind": "model_version"}'},
        "Update the client",
    ),
    "other format": ({"holdfast.json": b'{"format": "zip"}'}, "does not say"),
    "other kind": (
        {"holdfast.json": b'{"format": "holdfast-archive", "format_version": 1, "kind": "run"}'},
        "no model version",
    ),
    "no version at all": ({"version.json": None}, "no version.json"),
}


@pytest.mark.parametrize("what", sorted(HOSTILE))
def test_nothing_is_imported_of_a_hostile_archive(other, small_archive, tmp_path, what):
    changes, message = HOSTILE[what]

    def change(contents: dict[str, bytes]) -> None:
        for name, data in changes.items():
            if data is None:
                del contents[name]
            else:
                contents[name] = data

    path = rewritten(tmp_path / "archive", small_archive, change)
    with pytest.raises((InvalidArgumentError, DataLossError), match=message):
        other.import_model_version(path)
    assert other.search_registered_models() == []
    assert other.search_logged_models(["0"]) == []


def test_a_hostile_name_that_only_the_server_refuses_leaves_nothing_behind(other, small_archive, tmp_path):
    def change(contents: dict[str, bytes]) -> None:
        # Equal after normalization, which the server finds.
        contents["entries.jsonl"] = b"".join(
            line(path=path, size=1, digest=W) for path in sorted(["e\u0301", "\u00e9"], key=str.encode)
        )
        for name in [name for name in contents if name.startswith("files/") and name != f"files/{W}"]:
            del contents[name]

    path = rewritten(tmp_path / "archive", small_archive, change)
    with pytest.raises(HoldfastError):
        other.import_model_version(path)
    assert other.search_registered_models() == []
    assert other.search_logged_models(["0"]) == []


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE, tarfile.GNUTYPE_SPARSE, b"x", b"L"]
)
def test_only_plain_members_are_taken(tmp_path, kind):
    member = tarfile.TarInfo("holdfast.json")
    member.type, member.linkname = kind, "/etc/passwd"
    (tmp_path / "archive").write_bytes(member.tobuf(tarfile.GNU_FORMAT) + members.END)
    with pytest.raises(InvalidArgumentError, match="no plain file"):
        Archive(tmp_path / "archive")


@pytest.mark.parametrize("content", [b"", b"PK\3\4", b"x" * 5_000, bytes(1_024), bytes(5_000)])
def test_other_files_are_no_archives(tmp_path, content):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises((InvalidArgumentError, DataLossError)):
        Archive(tmp_path / "file")


def test_an_archive_that_changes_while_it_is_read_is_given_up(small_archive, tmp_path):
    path = tmp_path / "archive"
    path.write_bytes(small_archive)
    archive = Archive(path)
    path.write_bytes(small_archive + b"more")
    with pytest.raises(LocalFileError, match="changed while it was imported"):
        archive.document("version.json")


def test_an_export_that_fails_leaves_no_file(client, tmp_path):
    with pytest.raises(NotFoundError):
        client.export_model_version("never", 1, tmp_path / "archive")
    with pytest.raises(LocalFileError, match="cannot be written"), new_archive(tmp_path / "absent" / "archive"):
        pass
    with pytest.raises(ZeroDivisionError), new_archive(tmp_path / "archive"):
        1 / 0  # noqa: B018
    with pytest.raises(FileNotFoundError):
        client.import_run(tmp_path / "archive")
    assert list(tmp_path.glob("*archive*")) == []


def test_large_members_have_a_size_that_old_tar_cannot_write():
    size = 20 << 30
    assert members.parse_header(members.header("files/" + "0" * 64, size)) == ("files/" + "0" * 64, size)
