"""Uploads that end before their time: at once, leaving nothing behind, and to be repeated for what is missing only."""

from __future__ import annotations

import hashlib
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.counting_proxy import CountingProxy
from tests.server_process import clean_environment

from holdfast._client import Client
from holdfast._transfer.asking import find_missing

MIB = 1 << 20
BLOCK = 8 * MIB
# What goes over the wire beside the blocks: digests, the commit, HTTP/2. A share of the bytes of a file.
OVERHEAD = 0.001

# Logs a file or directory when it is told to on its standard input. After Ctrl-C it waits for what is left of the call,
# while it holds the error, as an interactive session does; then it goes on.
CHILD = """
import sys, threading, time
import holdfast
from holdfast._transfer import hashing

client = holdfast.Client(sys.argv[1])
client.get_run(sys.argv[2])
if sys.argv[4] == "while_it_reads_a_slow_disk":
    read, reads = hashing._read, []

    def read_slowly(piece):
        reads.append(piece)
        if len(reads) == 3:
            print("reading", flush=True)
            given_up.wait()
        return read(piece)

    hashing._read = read_slowly
before, given_up = set(threading.enumerate()), threading.Event()

def left():
    # Without gRPC's own: the one that waits for the events of a connection waits on as long as a message that was being
    # written when the line stood still is neither on its way nor lost with the connection, cancelled or not.
    frames = sys._current_frames()
    threads = [thread for thread in set(threading.enumerate()) - before if thread.ident in frames]
    return [thread.name for thread in threads if frames[thread.ident].f_code.co_name != "channel_spin"]

print("ready", flush=True)
sys.stdin.readline()
try:
    client.log_artifact(sys.argv[2], sys.argv[3])
except KeyboardInterrupt as error:
    kept = error
    print("interrupted", flush=True)
    given_up.set()
    deadline = time.monotonic() + 60
    while left() and time.monotonic() < deadline:
        time.sleep(0.01)
    print("left:", *left(), flush=True)
    sys.stdin.readline()
    client.log_text(sys.argv[2], "the client goes on", "after.txt")
"""


def make_file(folder: Path, blocks: int) -> Path:
    file = folder / "model.bin"
    file.write_bytes(b"".join(secrets.token_bytes(BLOCK) for _ in range(blocks)))
    return file


def make_folder(folder: Path) -> Path:
    """Many files that go with their commit, whose messages are more than what gRPC takes at once."""
    (folder / "many").mkdir()
    for number in range(3_000):
        (folder / "many" / f"{number:04}-{secrets.token_hex(40)}").write_bytes(secrets.token_bytes(20))
    return folder / "many"


class Uploader:
    """A process that logs a file through a proxy."""

    def __init__(self, proxy: CountingProxy, run_id: str, local: Path, mode: str = "") -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", CHILD, f"holdfast://127.0.0.1:{proxy.port}", run_id, str(local), mode],
            env=clean_environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
        )  # fmt: skip
        self.expect("ready")

    def go(self) -> None:
        self.process.stdin.write("go\n")

    def expect(self, line: str) -> None:
        assert self.process.stdout.readline() == f"{line}\n"

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


def missing_blocks(client: Client, file: Path) -> int:
    data = file.read_bytes()
    digests = [hashlib.sha256(data[at : at + BLOCK]).digest() for at in range(0, len(data), BLOCK)]
    return len(find_missing(client.channel, digests))


def bytes_sent(proxy: CountingProxy, action: Callable[[Client], object]) -> int:
    """Bytes that a new client sends for what ``action`` does with it."""
    before = proxy.sent
    with Client(f"holdfast://127.0.0.1:{proxy.port}") as client:
        action(client)
    return proxy.sent - before


def while_it_reads_a_slow_disk(proxy: CountingProxy, child: Uploader) -> None:
    child.go()
    child.expect("reading")


def while_it_asks_what_is_missing(proxy: CountingProxy, child: Uploader) -> None:
    proxy.hold(sent=0)
    child.go()
    proxy.wait_until(lambda proxy: proxy.holding)


def while_it_sends(proxy: CountingProxy, child: Uploader) -> None:
    proxy.hold(sent=3 * BLOCK)
    child.go()
    proxy.wait_until(lambda proxy: proxy.holding)


def while_it_waits_for_answers(proxy: CountingProxy, child: Uploader) -> None:
    proxy.hold(answers_after=BLOCK)
    child.go()
    proxy.wait_until(lambda proxy: proxy.holding)


def while_it_pauses_before_a_retry(proxy: CountingProxy, child: Uploader) -> None:
    child.go()
    proxy.wait_until(lambda proxy: proxy.sent >= 3 * BLOCK)
    proxy.refuse()
    proxy.wait_until(lambda proxy: proxy.refused >= 2)


def while_it_commits(proxy: CountingProxy, child: Uploader) -> None:
    proxy.hold(sent=1)
    child.go()
    proxy.wait_until(lambda proxy: proxy.holding)


# When, and the blocks of the file.
MOMENTS = [
    (while_it_reads_a_slow_disk, 12),
    (while_it_asks_what_is_missing, 12),
    (while_it_sends, 12),
    (while_it_waits_for_answers, 2),
    (while_it_pauses_before_a_retry, 12),
    (while_it_commits, 0),
]


@pytest.mark.parametrize("moment", [pytest.param(moment, id=moment[0].__name__) for moment in MOMENTS])
def test_ctrl_c_stops_an_upload_at_once_and_a_repeat_sends_what_is_missing(client, proxy, run_id, tmp_path, moment):
    arrive, blocks = moment
    local = make_file(tmp_path, blocks) if blocks else make_folder(tmp_path)
    with Uploader(proxy, run_id, local, arrive.__name__) as child:
        arrive(proxy, child)
        begin = time.monotonic()
        child.process.send_signal(signal.SIGINT)
        child.expect("interrupted")
        took = time.monotonic() - begin
        child.expect("left:")
        assert took < 20  # of the 30 s for which it would go on trying; the rest here would not end by itself
        assert client.list_artifacts(run_id) == []
        proxy.go_on()
        child.go()
        assert child.process.wait(60) == 0
    if blocks:  # a commit that was on its way may arrive all the same
        assert [entry.path for entry in client.list_artifacts(run_id)] == ["after.txt"]
        missing = missing_blocks(client, local)
        sent = bytes_sent(proxy, lambda other: other.log_artifact(run_id, local))
        assert sent <= missing * BLOCK + blocks * BLOCK * OVERHEAD
        assert client.artifacts.read_bytes(f"runs:/{run_id}/model.bin") == local.read_bytes()


IN_A_RUN = """
import sys
import holdfast as mlflow

mlflow.connect(sys.argv[1])
with mlflow.start_run(run_id=sys.argv[2]):
    print("ready", flush=True)
    mlflow.log_artifact(sys.argv[3])
"""


@pytest.mark.parametrize("stands_still", [False, True], ids=["a server that answers", "a network that stands still"])
def test_ctrl_c_ends_a_script_soon_and_its_run_as_killed_where_that_can_be_told(
    client, proxy, run_id, tmp_path, stands_still
):
    proxy.hold(sent=2 * BLOCK)
    script = subprocess.Popen(
        [sys.executable, "-c", IN_A_RUN, f"holdfast://127.0.0.1:{proxy.port}", run_id, str(make_file(tmp_path, 6))],
        env=clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    proxy.wait_until(lambda proxy: proxy.holding)
    begin = time.monotonic()
    script.send_signal(signal.SIGINT)
    if not stands_still:
        proxy.go_on()
    _, errors = script.communicate(timeout=120)
    assert time.monotonic() - begin < 25  # twice two seconds for the server, and what a process takes to end
    assert "\nKeyboardInterrupt\n" in errors
    assert client.get_run(run_id).info.status == ("RUNNING" if stands_still else "KILLED")


@pytest.mark.parametrize("other_run", [False, True], ids=["the same call again", "by another client elsewhere"])
def test_an_upload_that_was_killed_goes_on_where_it_was(client, proxy, run_id, tmp_path, other_run):
    file = make_file(tmp_path, 12)
    with Uploader(proxy, run_id, file) as child:
        proxy.hold(sent=7 * BLOCK)
        child.go()
        proxy.wait_until(lambda proxy: proxy.holding)
        while missing_blocks(client, file) > 12 - 2:
            time.sleep(0.01)  # what passed is being stored
        child.process.kill()
        child.process.wait()
    proxy.go_on()
    missing = missing_blocks(client, file)
    assert missing <= 12 - 2
    if other_run:
        # Under another name and to another run: what counts are the bytes.
        file = file.rename(tmp_path / "copy.bin")
        run_id = client.create_run("0").info.run_id
    sent = bytes_sent(proxy, lambda other: other.log_artifact(run_id, file))
    assert 5 * BLOCK <= sent <= missing * BLOCK + 12 * BLOCK * OVERHEAD
    assert client.artifacts.read_bytes(f"runs:/{run_id}/{file.name}") == file.read_bytes()


def test_logging_an_unchanged_file_or_directory_again_sends_no_data(client, proxy, run_id, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    make_file(folder, 4)
    for number in range(100):
        (folder / f"{number}").write_bytes(secrets.token_bytes(100_000))
    total = sum(path.stat().st_size for path in folder.iterdir())
    assert bytes_sent(proxy, lambda other: other.log_artifacts(run_id, folder)) >= total
    assert bytes_sent(proxy, lambda other: other.log_artifacts(run_id, folder, "again")) <= total * OVERHEAD
    assert bytes_sent(proxy, lambda other: other.log_artifact(run_id, folder / "model.bin")) <= 4 * BLOCK * OVERHEAD


def test_a_file_that_grew_sends_its_last_block_and_the_new_ones(client, proxy, run_id, tmp_path):
    file = tmp_path / "train.log"
    file.write_bytes(secrets.token_bytes(40 * MIB + 1_000))  # five blocks and the beginning of a sixth
    client.log_artifact(run_id, file)
    with file.open("ab") as more:
        more.write(secrets.token_bytes(9 * MIB))
    # The sixth is another block now that it is full.
    new = file.stat().st_size - 40 * MIB
    sent = bytes_sent(proxy, lambda other: other.log_artifact(run_id, file))
    assert new <= sent <= new + 40 * MIB * OVERHEAD
    assert client.artifacts.read_bytes(f"runs:/{run_id}/train.log") == file.read_bytes()
