"""``holdfast artifacts ls`` and ``tree``."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import click

from holdfast.cli import client_of
from holdfast.cli.artifacts.uris import artifact_uri
from holdfast.cli.sizes import count_text, size_text
from holdfast.cli.tables import can_show
from holdfast.entities import FileInfo

_LINES = ("├── ", "└── ", "│   ")
_ASCII_LINES = ("|-- ", "`-- ", "|   ")


@click.command("ls")
@click.argument("uri", type=artifact_uri)
@click.option("-R", "--recursive", is_flag=True, help="List everything below, not just one level.")
@click.option("-l", "--long", "exact", is_flag=True, help="Sizes in bytes, and digests.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each file or directory.")
@click.pass_context
def ls(ctx: click.Context, uri: str, *, recursive: bool, exact: bool, as_json: bool) -> None:
    """List one level of URI, such as runs:/<run_id>/plots or models:/<name>@<alias>.

    Paths are those below the run or model. The digest of a file of up to 8 MiB is what sha256sum prints.
    """
    with client_of(ctx) as client:
        entries: list[FileInfo] = client.artifacts.list(uri, recursive=recursive, itself=True)
    sizes = [_size(entry, exact=exact) for entry in entries]
    width = max(map(len, sizes), default=0)
    for entry, size in zip(entries, sizes, strict=True):
        if as_json:
            click.echo(json.dumps(dataclasses.asdict(entry)))
        else:
            digest = f"{entry.digest or '-':<64}  " if exact else ""
            click.echo(f"{size:>{width}}  {digest}{entry.path}{'/' if entry.is_dir else ''}")


def _size(entry: FileInfo, *, exact: bool) -> str:
    if entry.file_size is None:
        return "-"
    return f"{entry.file_size}" if exact else size_text(entry.file_size)


@dataclass(slots=True)
class _Node:
    """A file or directory of a tree that is shown; the figures of a directory are those of all below it."""

    name: str
    is_dir: bool = True
    size: int = 0
    files: int = 0
    folders: int = 0
    children: dict[str, _Node] = field(default_factory=dict)

    def count(self, entry: FileInfo) -> None:
        self.size += entry.file_size or 0
        self.files += not entry.is_dir
        self.folders += entry.is_dir


@click.command("tree")
@click.argument("uri", type=artifact_uri)
@click.option("-L", "--level", "depth", type=click.IntRange(min=1), help="Show so many levels; totals count all.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, with the children of directories in it.")
@click.pass_context
def tree(ctx: click.Context, uri: str, *, depth: int | None, as_json: bool) -> None:
    """Show URI and all below it with sizes, those of directories being of all that they hold."""
    with client_of(ctx) as client:
        root = _grow(uri, client.artifacts.list(uri, recursive=True, itself=True))
    if as_json:
        click.echo(json.dumps(_as_json(root, depth)))
        return
    click.echo(root.name)
    lines = list(_draw(root, depth))
    size_width = max((len(size) for _, size in lines), default=0)
    # Names give way to the terminal's width; in a pipe they are whole.
    room = shutil.get_terminal_size().columns - size_width - 2 if sys.stdout.isatty() else None
    name_width = max((len(_shortened(name, room)) for name, _ in lines), default=0)
    for name, size in lines:
        click.echo(f"{_shortened(name, room):<{name_width}}  {size:>{size_width}}")
    folders, files = count_text(root.folders, "directory", "directories"), count_text(root.files, "file")
    click.echo(f"\n{folders}, {files}, {size_text(root.size)}")


def _grow(uri: str, entries: list[FileInfo]) -> _Node:
    """Put a listing's entries, whose paths begin at the run or model, below the node of ``uri``."""
    from holdfast._transfer.artifacts import split_uri

    base = split_uri(uri)[1]
    # A file stands for itself, below the name of its directory.
    start = len(base) + 1 if base and not (len(entries) == 1 and entries[0].path == base) else base.rfind("/") + 1
    root = _Node(uri)
    for entry in entries:
        root.count(entry)
        node = root
        for part in entry.path[start:].split("/"):
            node = node.children.setdefault(part, _Node(part))
            node.count(entry)
        node.is_dir = entry.is_dir
    return root


def _draw(root: _Node, depth: int | None) -> Iterator[tuple[str, str]]:
    """Lines of a tree, without its root, as names and sizes."""
    branch, last_branch, trunk = _LINES if _draws_boxes() else _ASCII_LINES
    stack = [(child, "") for child in reversed(root.children.values())]
    last = {id(child) for child in list(root.children.values())[-1:]}
    while stack:
        node, before = stack.pop()
        is_last = id(node) in last
        size = f"{size_text(node.size)}"
        yield f"{before}{last_branch if is_last else branch}{node.name}{'/' if node.is_dir else ''}", size
        below = before + (" " * len(trunk) if is_last else trunk)
        if depth is None or len(below) // len(trunk) < depth:
            children = list(node.children.values())
            last |= {id(child) for child in children[-1:]}
            stack.extend((child, below) for child in reversed(children))


def _draws_boxes() -> bool:
    return can_show("".join(_LINES))


def _shortened(name: str, room: int | None) -> str:
    """The name, with its middle left out where there is no room for it; its end tells what kind of file it is."""
    if room is None or len(name) <= max(room, 16):
        return name
    room = max(room, 16)
    tail = room // 3
    return (
        f"{name[: room - tail - 1]}…{name[-tail:]}" if _draws_boxes() else f"{name[: room - tail - 1]}~{name[-tail:]}"
    )


def _as_json(node: _Node, depth: int | None) -> dict[str, Any]:
    shown: dict[str, Any] = {"name": node.name, "is_dir": node.is_dir, "size": node.size}
    if node.is_dir:
        shown["files"] = node.files
        if depth is None or depth > 0:
            less = None if depth is None else depth - 1
            shown["children"] = [_as_json(child, less) for child in node.children.values()]
    return shown
