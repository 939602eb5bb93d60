"""``holdfast artifacts``: what each verb prints, how it ends, and what it says when something is wrong."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import pty
import re
import secrets
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.counting_proxy import counting_proxy
from tests.server_process import clean_environment

from holdfast._transfer import checking
from holdfast._transfer.artifacts import Artifacts
from holdfast._transfer.progress import Progress
from holdfast.cli import main

MIB = 1 << 20
HOLDFAST = str(Path(sys.executable).parent / "holdfast")


@dataclass(frozen=True, slots=True)
class Done:
    """What a command printed."""

    stdout: bytes
    stderr: bytes


@pytest.fixture
def run(server, capfdbinary, monkeypatch):
    """Run ``holdfast artifacts`` in this process, which is faster than one of its own, and check its exit code."""

    def run(*args: str | Path, exit_code: int = 0, stdin: bytes = b"") -> Done:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capfdbinary.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(["--uri", server.uri, "artifacts", *map(str, args)])
        done = Done(*capfdbinary.readouterr())
        assert (ended.value.code or 0) == exit_code, done.stderr.decode()
        return done

    return run


def lines(done: Done) -> list[str]:
    return done.stdout.decode().splitlines()


def objects(done: Done) -> list[dict]:
    return [json.loads(line) for line in lines(done)]


@pytest.fixture
def filled(client, run_id) -> str:
    """A run with a few artifacts."""
    client.log_text(run_id, "hello", "a.txt")
    client.log_bytes(run_id, bytes(1_500_000), "data/deep/zeros.bin")
    client.log_text(run_id, "x" * 2_000, "data/x.txt")
    return run_id


def test_ls_lists_a_level_with_aligned_sizes(run, filled):
    assert lines(run("ls", f"runs:/{filled}")) == ["5 B  a.txt", "  -  data/"]
    assert lines(run("ls", f"runs:/{filled}/data")) == ["      -  data/deep/", "2.0 KiB  data/x.txt"]
    assert lines(run("ls", f"runs:/{filled}/a.txt")) == ["5 B  a.txt"]  # a file lists itself


def test_ls_lists_everything_with_digests_when_asked(run, filled):
    digest = hashlib.sha256(b"hello").hexdigest()
    listed = lines(run("ls", "-R", "-l", f"runs://{filled}/"))  # slashes by habit
    assert listed[0] == f"      5  {digest}  a.txt"
    assert [line.split()[-1] for line in listed] == [
        "a.txt",
        "data/",
        "data/deep/",
        "data/deep/zeros.bin",
        "data/x.txt",
    ]
    assert listed[3].split()[0] == "1500000"
    first = objects(run("ls", "-R", "--json", f"runs:/{filled}"))[0]
    assert first == {"path": "a.txt", "is_dir": False, "file_size": 5, "digest": digest}


def test_tree_draws_branches_sizes_and_totals(run, filled):
    assert lines(run("tree", f"runs:/{filled}")) == [
        f"runs:/{filled}",
        "├── a.txt                  5 B",
        "└── data/              1.4 MiB",
        "    ├── deep/          1.4 MiB",
        "    │   └── zeros.bin  1.4 MiB",
        "    └── x.txt          2.0 KiB",
        "",
        "2 directories, 3 files, 1.4 MiB",
    ]
    shallow = lines(run("tree", "-L", "1", f"runs:/{filled}"))
    assert [line.split()[1] for line in shallow[1:3]] == ["a.txt", "data/"]
    assert shallow[-1] == "2 directories, 3 files, 1.4 MiB"


def test_tree_as_json_nests_children(run, filled):
    (root,) = objects(run("tree", "--json", f"runs:/{filled}"))
    assert (root["name"], root["size"], root["files"]) == (f"runs:/{filled}", 1_502_005, 3)
    assert root["children"][0] == {"name": "a.txt", "is_dir": False, "size": 5}
    assert [child["name"] for child in root["children"][1]["children"]] == ["deep", "x.txt"]
    (file,) = objects(run("tree", "--json", f"runs:/{filled}/data/x.txt"))
    assert [child["name"] for child in file["children"]] == ["x.txt"]


def test_tree_fits_the_terminal_and_uses_letters_where_there_are_no_boxes(server, client, run_id):
    client.log_text(run_id, "x", f"{'long' * 30}.txt")
    parent, child = pty.openpty()
    done = subprocess.Popen(
        [HOLDFAST, "--uri", server.uri, "artifacts", "tree", f"runs:/{run_id}"],
        stdout=child, env=clean_environment({"COLUMNS": "40", "PYTHONIOENCODING": "ascii"}),
    )  # fmt: skip
    assert done.wait(60) == 0
    os.close(child)
    shown = os.read(parent, 1 << 16).decode().splitlines()
    os.close(parent)
    assert shown[1].startswith("`-- longlong")
    assert shown[1].endswith(".txt  1 B")
    assert len(shown[1]) <= 40


def test_put_stores_files_and_directories_at_once_and_reports(run, client, run_id, tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d/a").write_bytes(secrets.token_bytes(100_000))
    (tmp_path / "f").write_bytes(secrets.token_bytes(MIB))
    done = run("put", tmp_path / "d", tmp_path / "f", f"runs:/{run_id}/in")
    assert done.stdout == b""
    assert re.fullmatch(r"Stored 2 files, 1\.1 MiB, in \d+\.\d s \(.*/s\)\.\n", done.stderr.decode())
    assert [f.path for f in client.artifacts.list(f"runs:/{run_id}", recursive=True)] == [
        "in", "in/d", "in/d/a", "in/f",
    ]  # fmt: skip
    again = run("put", tmp_path / "d", tmp_path / "f", f"runs:/{run_id}/in")
    assert b"; 1.1 MiB of it needed no sending." in again.stderr
    (summary,) = objects(run("put", "--json", tmp_path / "f", f"runs:/{run_id}"))
    assert summary.pop("seconds") > 0
    assert summary == {
        "uri": f"runs:/{run_id}", "files": 1, "bytes": MIB, "sent_bytes": 0, "saved_bytes": MIB, "sequence": 3,
    }  # fmt: skip
    assert run("put", "-q", tmp_path / "f", f"runs:/{run_id}").stderr == b""


def test_put_takes_names_contents_and_standard_input(run, client, run_id, tmp_path):
    (tmp_path / "d/e").mkdir(parents=True)
    (tmp_path / "d/e/f").write_text("x")
    run("put", "--name", "other", tmp_path / "d", f"runs:/{run_id}")
    run("put", "--contents", tmp_path / "d", f"runs:/{run_id}/flat")
    data = secrets.token_bytes(9 * MIB)
    done = run("put", "-", f"runs:/{run_id}/streams", "--name", "stdin.bin", stdin=data)
    assert b"Stored 1 file, 9.0 MiB" in done.stderr
    assert client.artifacts.read_bytes(f"runs:/{run_id}/streams/stdin.bin") == data
    assert client.artifacts.read_bytes(f"runs:/{run_id}/other/e/f") == b"x"
    assert client.artifacts.read_bytes(f"runs:/{run_id}/flat/e/f") == b"x"


def test_put_refuses_two_things_of_one_path_and_stores_neither(run, client, run_id, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "same").write_text(name)
    done = run("put", tmp_path / "a/same", tmp_path / "b/same", f"runs:/{run_id}", exit_code=1)
    assert b"would both be 'same'" in done.stderr
    assert client.list_artifacts(run_id) == []


def test_get_fetches_to_here_or_to_a_directory_and_reports(server, run, filled, tmp_path):
    done = run("get", f"runs:/{filled}/data", tmp_path)
    assert lines(done) == [str(tmp_path / "data")]
    assert re.fullmatch(r"Fetched 2 files, 1\.4 MiB, in \d+\.\d s \(.*/s\)\.\n", done.stderr.decode())
    assert (tmp_path / "data/x.txt").read_text() == "x" * 2_000
    here = subprocess.run(
        [HOLDFAST, "--uri", server.uri, "artifacts", "get", f"runs:/{filled}/a.txt"],
        cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    assert here.stdout == "a.txt\n"
    assert (tmp_path / "a.txt").read_text() == "hello"
    (summary,) = objects(run("get", "--json", f"runs:/{filled}", tmp_path / "all"))
    assert summary["path"] == str(tmp_path / "all")
    assert (summary["files"], summary["bytes"], summary["received_bytes"]) == (3, 1_502_005, 1_502_005)


def test_cat_prints_bytes_as_they_are_and_goes_on_after_what_is_not_there(run, client, run_id):
    data = secrets.token_bytes(9 * MIB)
    client.log_bytes(run_id, data, "f")
    client.log_bytes(run_id, b"\x00\xff", "g")
    assert run("cat", f"runs:/{run_id}/f", f"runs:/{run_id}/g").stdout == data + b"\x00\xff"
    done = run("cat", f"runs:/{run_id}/nothing", f"runs:/{run_id}/g", exit_code=1)
    assert done.stdout == b"\x00\xff"
    assert b"nothing" in done.stderr
    assert run("cat", f"runs:/{run_id}", exit_code=1).stdout == b""


@pytest.mark.parametrize(
    ("part", "expected"),
    [("0:3", b"012"), ("7:", b"789"), ("-2:", b"89"), ("-99:1", b"0"), ("10:5", b""), ("99:", b""), ("3:0", b"")],
)
def test_cat_prints_ranges(run, client, run_id, part, expected):
    client.log_bytes(run_id, b"0123456789", "f")
    assert run("cat", "--range", part, f"runs:/{run_id}/f").stdout == expected


def test_cat_as_json_gives_offsets_and_base64(run, client, run_id):
    data = secrets.token_bytes(MIB)
    client.log_bytes(run_id, data, "f")
    pieces = objects(run("cat", "--json", "--range", "5:", f"runs:/{run_id}/f"))
    assert [piece["offset"] for piece in pieces] == [5, 5 + (768 << 10)]
    assert b"".join(base64.b64decode(piece["base64"]) for piece in pieces) == data[5:]


def test_a_reader_that_has_seen_enough_ends_the_command_quietly(server, client, run_id):
    client.log_bytes(run_id, bytes(64 * MIB), "zeros")
    process = subprocess.Popen(
        [HOLDFAST, "--uri", server.uri, "artifacts", "cat", f"runs:/{run_id}/zeros"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout.read(10) == bytes(10)
    process.stdout.close()
    assert (process.stderr.read(), process.wait(120)) == (b"", 141)
    process.stderr.close()


def test_ctrl_c_ends_quietly_with_130(server, run_id, tmp_path):
    (tmp_path / "big").write_bytes(b"".join(secrets.token_bytes(8 * MIB) for _ in range(3)))
    with counting_proxy(server.port) as proxy:
        proxy.hold(sent=9 * MIB)
        uri = f"holdfast://127.0.0.1:{proxy.port}"
        process = subprocess.Popen(
            [HOLDFAST, "--uri", uri, "artifacts", "put", tmp_path / "big", f"runs:/{run_id}"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_environment(),
        )  # fmt: skip
        proxy.wait_until(lambda proxy: proxy.holding)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, b"", b"")


def damage(server, before: set[Path]) -> None:
    """Flip a bit in the only object that is new in the store."""
    (stored,) = {p for p in (server.app.config.data_dir / "store").rglob("*") if p.is_file()} - before
    data = bytearray(stored.read_bytes())
    data[len(data) // 2] ^= 1
    stored.write_bytes(data)


def test_verify_reads_everything_and_goes_on_after_damage(server, client, run, run_id, tmp_path):
    for number in range(200):
        (tmp_path / f"{number:03}").write_bytes(secrets.token_bytes(1_000))
    client.log_artifacts(run_id, tmp_path, "many")
    client.log_bytes(run_id, secrets.token_bytes(20 * MIB), "large")
    client.log_bytes(run_id, b"", "empty")
    done = run("verify", f"runs:/{run_id}")
    assert done.stdout == b""
    assert re.fullmatch(r"Checked 202 files, 20\.2 MiB, in .*: all sound\.\n", done.stderr.decode())
    store = server.app.config.data_dir / "store"
    for name, size in (("broken-a", 3 * MIB), ("many/100b", 2_000), ("many/150b", 2_000)):
        before = {p for p in store.rglob("*") if p.is_file()}
        client.log_bytes(run_id, secrets.token_bytes(size), name)
        damage(server, before)
    done = run("verify", f"runs:/{run_id}", exit_code=1)
    assert [line.split(":")[0] for line in sorted(lines(done))] == [
        "damaged    broken-a", "damaged    many/100b", "damaged    many/150b",
    ]  # fmt: skip
    assert b"Checked 205 files" in done.stderr
    assert b"3 problems" in done.stderr
    *problems, totals = objects(run("verify", "--json", f"runs:/{run_id}/many", exit_code=1))
    assert {problem["path"] for problem in problems} == {"many/100b", "many/150b"}
    assert (totals["files"], totals["problems"]) == (202, 2)
    assert run("verify", "-q", f"runs:/{run_id}/many/000").stderr == b""


def test_verify_tells_what_it_found_as_it_goes(server, client, run_id, tmp_path, monkeypatch):
    monkeypatch.setattr(checking, "TOLD_AT_ONCE", 7)
    for number in range(50):
        (tmp_path / f"{number:02}").write_bytes(secrets.token_bytes(1_000))
    client.log_artifacts(run_id, tmp_path)
    before = {p for p in (server.app.config.data_dir / "store").rglob("*") if p.is_file()}
    client.log_bytes(run_id, secrets.token_bytes(2_000), "30b")
    damage(server, before)
    untold, take = [], checking.StoredFiles._take

    def take_and_count(self, entry, data):
        goes_on = take(self, entry, data)
        untold.append(len(self._checks))
        return goes_on

    monkeypatch.setattr(checking.StoredFiles, "_take", take_and_count)
    checks = list(Artifacts(client.channel).verify(f"runs:/{run_id}", Progress("checking")))
    assert max(untold) == 7
    assert [check.path for check in checks] == sorted(["30b", *(f"{number:02}" for number in range(50))])
    assert [check.path for check in checks if check.problem] == ["30b"]


def test_verify_compares_a_local_copy(run, filled, tmp_path):
    run("get", f"runs:/{filled}", tmp_path)
    assert b"Checked 3 files, 1.4 MiB" in run("verify", f"runs:/{filled}", "--local", tmp_path).stderr
    (tmp_path / "a.txt").write_text("jello")
    (tmp_path / "data/x.txt").unlink()
    (tmp_path / "data/more").write_text("more")
    done = run("verify", f"runs:/{filled}", "--local", tmp_path, exit_code=1)
    assert lines(done) == [
        "different  a.txt: It has the same size and other bytes.", "missing    data/x.txt", "extra      data/more",
    ]  # fmt: skip
    assert run("verify", f"runs:/{filled}/data/deep", "--local", tmp_path / "data/deep").stdout == b""
    one = run("verify", f"runs:/{filled}/a.txt", "--local", tmp_path / "a.txt", "--json", exit_code=1)
    assert [found.get("problem") for found in objects(one)] == ["different", None]


def test_verify_takes_links_and_executable_bits_as_uploads_do(run, client, run_id, tmp_path):
    local, outside = tmp_path / "local", tmp_path / "outside"
    (local / "real").mkdir(parents=True)
    outside.mkdir()
    (local / "real/run.sh").write_text("#!/bin/sh")
    (local / "link").symlink_to("real")
    client.log_artifacts(run_id, local)
    uri = f"runs:/{run_id}"
    assert b"Checked 2 files" in run("verify", uri, "--local", local).stderr
    (local / "link").unlink()
    assert lines(run("verify", uri, "--local", local, exit_code=1)) == ["missing    link", "missing    link/run.sh"]
    (local / "link").symlink_to("real")
    (local / "real/run.sh").chmod(0o755)
    *found, _ = objects(run("verify", uri, "--local", local, "--json", exit_code=1))
    assert [(each["path"], each["problem"], each["message"]) for each in found] == [
        (f"{folder}/run.sh", "different", "The local copy is executable.") for folder in ("link", "real")
    ]
    (local / "real/run.sh").chmod(0o644)
    (outside / "more").write_text("more")
    (local / "away").symlink_to(outside)
    assert b"leaves the directory" in run("verify", uri, "--local", local, exit_code=2).stderr
    done = run("verify", uri, "--local", local, "--symlinks", "follow", exit_code=1)
    assert lines(done) == ["extra      away", "extra      away/more"]


def test_verify_that_cannot_check_ends_with_2(run, filled, tmp_path):
    assert b"No file or directory" in run("verify", f"runs:/{filled}", "--local", tmp_path / "no", exit_code=2).stderr
    assert b"There is no run" in run("verify", f"runs:/{'0' * 32}", exit_code=2).stderr


def test_rm_removes_files_and_with_r_directories(run, client, filled):
    run("rm", f"runs:/{filled}/a.txt")
    assert b"pass -r" in run("rm", f"runs:/{filled}/data", exit_code=2).stderr
    assert b"pass --yes" in run("rm", "-r", f"runs:/{filled}/data", exit_code=2).stderr
    (removed,) = objects(run("rm", "-r", "--yes", "--json", f"runs:/{filled}/data"))
    assert removed == {"uri": f"runs:/{filled}/data", "is_dir": True, "files": 2}
    assert client.list_artifacts(filled) == []
    client.log_text(filled, "x", "b/c")
    run("rm", "-ry", f"runs:/{filled}")
    assert client.list_artifacts(filled) == []


def test_rm_removes_nothing_when_something_is_not_there(run, client, filled):
    done = run("rm", f"runs:/{filled}/a.txt", f"runs:/{filled}/nothing", exit_code=1)
    assert b"nothing" in done.stderr
    assert "a.txt" in [entry.path for entry in client.list_artifacts(filled)]


@pytest.mark.parametrize("answer", ["yes", "no"])
def test_rm_asks_on_a_terminal(server, client, run_id, answer):
    client.log_text(run_id, "x", "d/f")
    parent, child = pty.openpty()
    process = subprocess.Popen(
        [HOLDFAST, "--uri", server.uri, "artifacts", "rm", "-r", f"runs:/{run_id}/d"],
        stdin=child, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_environment(),
    )  # fmt: skip
    os.write(parent, f"{answer}\n".encode())
    _, err = process.communicate(timeout=120)
    os.close(child)
    os.close(parent)
    assert f"Remove runs:/{run_id}/d with 1 file, 1 B?" in err.decode()
    assert process.returncode == (0 if answer == "yes" else 1)
    assert [entry.path for entry in client.list_artifacts(run_id)] == ([] if answer == "yes" else ["d"])


def test_what_a_model_holds_is_read_and_not_changed(run, client, run_id, name, tmp_path):
    (tmp_path / "MLmodel").write_text("x")
    model = client.create_logged_model("0", name="forest", source_run_id=run_id)
    client.log_model_artifacts(model.model_id, tmp_path)
    client.finalize_logged_model(model.model_id, "READY")
    client.register_logged_model(name, model.model_id)
    client.set_registered_model_alias(name, "best", "1")
    uris = [f"models:/{model.model_id}", f"models:/{name}/1", f"models:/{name}@best", f"models:/{name}/latest"]
    for uri in uris:
        assert lines(run("ls", uri)) == ["1 B  MLmodel"]
        assert run("cat", f"{uri}/MLmodel").stdout == b"x"
        assert run("verify", uri, "--local", tmp_path).stdout == b""
        assert b"does not change" in run("rm", f"{uri}/MLmodel", exit_code=2).stderr
        assert b"does not change" in run("put", tmp_path, uri, exit_code=2).stderr
    assert b"logged model" in run("rm", f"runs:/{run_id}/forest/MLmodel", exit_code=2).stderr
    assert b"all sound" in run("verify", f"runs:/{run_id}").stderr
    assert "forest/MLmodel" in run("ls", "-R", f"runs:/{run_id}").stdout.decode()


@pytest.mark.parametrize(
    ("args", "exit_code", "message"),
    [
        pytest.param(["ls", "0" * 32], 2, f"write runs:/{'0' * 32}", id="a run id without scheme"),
        pytest.param(["ls", f"m-{'0' * 32}/a"], 2, f"write models:/m-{'0' * 32}/a", id="a model id without scheme"),
        pytest.param(["ls", "plots"], 2, "is no artifact URI: write runs:/<run_id>", id="no URI"),
        pytest.param(["ls", "runs:/"], 2, "is no artifact URI", id="no run"),
        pytest.param(["ls", f"runs:/{'0' * 32}"], 1, "`holdfast runs ls` lists", id="no such run"),
        pytest.param(["put", "/no/file", f"runs:/{'0' * 32}"], 1, "No file or directory: /no/file", id="no such file"),
        pytest.param(["put", "-", f"runs:/{'0' * 32}"], 2, "needs a name", id="standard input without a name"),
        pytest.param(["put", "a", "b", f"runs:/{'0' * 32}", "--name", "c"], 2, "--name names one", id="name for two"),
        pytest.param(["cat", "--range", "5", f"runs:/{'0' * 32}/a"], 2, "OFFSET:LENGTH", id="bad range"),
    ],
)
def test_mistakes_say_what_to_do(run, args, exit_code, message):
    done = run(*args, exit_code=exit_code)
    assert done.stdout == b""
    assert message in " ".join(done.stderr.decode().split())


def test_a_server_that_is_not_there_is_one_line(tmp_path):
    done = subprocess.run(
        [HOLDFAST, "--uri", str(tmp_path / "typo"), "artifacts", "ls", f"runs:/{'0' * 32}"],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "There is no Holdfast store in" in done.stderr
