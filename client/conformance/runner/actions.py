"""What the runner itself does in a scenario; each function is a step, and its arguments are what the step says."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from client.conformance.runner import digests, files
from client.conformance.runner.counting import Blocks
from client.conformance.runner.errors import ConformanceError
from client.conformance.runner.expecting import fields_difference
from client.conformance.runner.languages import ROOT
from client.conformance.runner.network import BitFlipper
from client.conformance.runner.stage import Stage, expect_error_free

# Points of one log_metrics, which is what one request of the protocol takes.
BATCH_POINTS = 1_000


def make_file(stage: Stage, path: str, size: int, *, marker: str = "", block: int = 0) -> None:
    """Make a file of random bytes, with the marker in one of its blocks if one is given."""
    files.make_file(stage.path(path), size, stage.random(path), marker=marker.encode(), block=block)


def make_tree(stage: Stage, path: str, count: int, *, largest: int = 6_000) -> None:
    """Make a directory of many small files, odd names, an executable file, a link and an empty directory."""
    files.make_tree(stage.path(path), count, stage.random(path), largest)


def make_directory(stage: Stage, path: str) -> None:
    """Make an empty directory."""
    stage.path(path).mkdir(parents=True)


def write_text(stage: Stage, path: str, text: str) -> None:
    """Write a small file."""
    stage.path(path).parent.mkdir(parents=True, exist_ok=True)
    stage.path(path).write_text(text, encoding="utf-8")


def list_files(stage: Stage, path: str, save: str, *, at: str = "") -> None:
    """Note what a listing of what was logged from a path shows, when it stands at ``at``."""
    stage.names[save] = files.entries_below(stage.path(path), at)


def same_files(stage: Stage, found: str, original: str) -> None:
    """Two files or directories are the same, byte by byte."""
    files.compare(stage.path(found), stage.path(original))


def whole_files(stage: Stage, found: str, original: str, without: Sequence[str]) -> None:
    """What is in a directory is as in the original one, and some files are not there."""
    there = files.whole_files(stage.path(found), stage.path(original)) & set(without)
    if there:
        raise ConformanceError(f"{sorted(there)} were written to the destination, though they are damaged")


def only(stage: Stage, path: str, names: Sequence[str]) -> None:
    """A directory holds these and nothing else, but for hidden files of a download that did not end."""
    left = sorted(p.name for p in stage.path(path).iterdir() if not p.name.startswith(files.HIDDEN_PREFIX))
    if left != sorted(names):
        raise ConformanceError(f"{path} is to hold {sorted(names)}, and holds {left}")


def digest_range(stage: Stage, path: str, offset: int, length: int, save: str) -> None:
    """Note the SHA-256 of some bytes of a file."""
    with stage.path(path).open("rb") as file:
        file.seek(offset)
        stage.names[save] = hashlib.sha256(file.read(length)).hexdigest()


def note_blocks(stage: Stage, save: str) -> None:
    """Note how many blocks the server has received."""
    stage.names[save] = stage.place.open_server.blocks()


def blocks_since(stage: Stage, noted: Blocks, received: Any, redundant: Any) -> None:
    """The server has received so many blocks since, and so many of them in vain."""
    since = stage.place.open_server.blocks() - noted
    stage.transcript.append(f"the server received {since.received} blocks, {since.redundant} of them in vain")
    found = {"received": since.received, "redundant": since.redundant}
    _refuse(fields_difference(found, {"received": received, "redundant": redundant}, "the server's count"))


def note_traffic(stage: Stage, save: str, *, way: str = "up") -> None:
    """Note how many bytes have passed through the network, ``up`` to the server or ``down`` from it."""
    stage.names[save] = stage.passed(way)


def traffic_since(stage: Stage, noted: int, size: Any, *, way: str = "up") -> None:
    """So many bytes have passed since."""
    passed = stage.passed(way) - noted
    stage.transcript.append(f"{passed:,} bytes passed {way}")
    _refuse(fields_difference({"size": passed}, {"size": size}, "the network's count"))


def hold_network(stage: Stage, after: int, *, way: str = "up") -> None:
    """Let so many bytes more pass, ``up`` to the server or ``down`` from it, and then none."""
    if way == "up":
        stage.proxy.hold(sent=after)
    else:
        stage.proxy.hold(received=after)


def wait_until_held(stage: Stage) -> None:
    """Wait until the network stands still, while the driver is busy."""
    give_up = time.monotonic() + stage.timeout
    while not stage.proxy.holding:
        if stage.driver.has_answered:
            raise ConformanceError(f"it ended before so much had passed: {stage.answer()}")
        if time.monotonic() > give_up:
            raise ConformanceError(f"the network has not come to its limit within {stage.timeout:g} s")
        time.sleep(0.005)


def cut_network(stage: Stage) -> None:
    """Cut all connections once; what did not pass is lost, and new connections are fine."""
    stage.proxy.cut()


def release_network(stage: Stage) -> None:
    """Let everything pass again."""
    stage.proxy.go_on()


def kill_driver(stage: Stage) -> None:
    """Kill the driver on trial, as by a power cut."""
    stage.driver.kill()
    stage.replace_driver()


def kill_server(stage: Stage) -> None:
    """Kill the open server."""
    stage.place.open_server.kill()


def start_server(stage: Stage) -> None:
    """Start the open server again, at its port, on what it kept."""
    stage.place.open_server.start()


def flip_bits(stage: Stage, marker: str, way: str, *, once: bool = False) -> None:
    """Flip a bit of each marker, or the first, that passes ``up`` or ``down``; in connections made after this."""
    stage.flipper = BitFlipper(marker.encode(), up=way == "up", once=once)
    stage.proxy.filter(stage.flipper.begin)


def flipped(stage: Stage, bits: Any) -> None:
    """So many bits were flipped, or the scenario would prove nothing."""
    found = stage.flipper.flipped if stage.flipper else 0
    _refuse(fields_difference({"bits": found}, {"bits": bits}, "what was flipped"))


def flip_in_store(stage: Stage, marker: str) -> None:
    """Flip a bit where the marker is stored, behind the server's back; on local blocks."""
    if not files.flip_in_store(stage.place.open_server.data_dir, marker.encode()):
        raise ConformanceError("nothing in the store holds the marker")


def log_points(stage: Stage, run_id: str, key: str, count: int, save: str) -> None:
    """Log many points of a metric, in requests of a thousand, and note them."""
    points = [{"value": number / 4, "step": number, "timestamp": 1_700_000_000_000 + number} for number in range(count)]
    for start in range(0, count, BATCH_POINTS):
        metrics = [{"key": key, **point} for point in points[start : start + BATCH_POINTS]]
        expect_error_free(stage.driver.ask("log_metrics", {"run_id": run_id, "metrics": metrics}))
    stage.names[save] = points


def check_vectors(stage: Stage, page: str, contents: Mapping[str, Mapping[str, Any]]) -> None:
    """Ask for the digests of all contents that a page prints test vectors of; ``contents`` says how to make each."""
    printed = digests.printed_vectors((ROOT / page).read_text(encoding="utf-8"))
    if len(printed) < 2 or printed.keys() != contents.keys():
        raise ConformanceError(f"{page} prints vectors of {sorted(printed)}, and the scenario has {sorted(contents)}")
    for number, (content, digest) in enumerate(printed.items()):
        made = contents[content]
        if "entries" in made:
            entries = [files.tree_entry(entry) for entry in made["entries"]]
            asked: tuple[str, dict[str, Any]] = ("tree_digest", {"entries": entries})
        else:
            path = stage.path(f"vector-{number}")
            path.write_bytes(str(made.get("text", "")).encode() + bytes(made.get("zeros", 0)))
            asked = ("file_digest", {"path": str(path)})
        answer = expect_error_free(stage.driver.ask(*asked))
        _refuse(fields_difference(answer, {"digest": digest}, f"the digest of {content}"))


def _refuse(difference: str) -> None:
    if difference:
        raise ConformanceError(difference)


ACTIONS: dict[str, Callable[..., None]] = {
    action.__name__: action
    for action in (
        make_file, make_tree, make_directory, write_text, list_files, same_files, whole_files, only, digest_range,
        note_blocks, blocks_since, note_traffic, traffic_since, hold_network, wait_until_held, cut_network,
        release_network, kill_driver, kill_server, start_server, flip_bits, flipped, flip_in_store, log_points,
        check_vectors,
    )
}  # fmt: skip
