"""What opcodes of pickles do to the bytes and the stack, as far as ``pickletools`` tells it."""

from __future__ import annotations

import pickletools
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["OPCODES", "Opcode"]


@dataclass(frozen=True, slots=True)
class Opcode:
    """What an opcode without meaning for names does: bytes that it has, values that it takes and gives."""

    is_line: bool
    length: str
    size: int
    takes_mark: bool
    pops: int
    pushes: int


_LENGTHS = {
    pickletools.TAKEN_FROM_ARGUMENT1: "B",
    pickletools.TAKEN_FROM_ARGUMENT4: "<i",
    pickletools.TAKEN_FROM_ARGUMENT4U: "<I",
    pickletools.TAKEN_FROM_ARGUMENT8U: "<Q",
}


def _opcodes() -> Iterator[tuple[bytes, Opcode]]:
    for known in pickletools.opcodes:
        size = known.arg.n if known.arg is not None else 0
        before = list(known.stack_before)
        takes_mark = pickletools.markobject in before
        if takes_mark:
            before = before[: before.index(pickletools.markobject)]
        opcode = Opcode(
            is_line=size == pickletools.UP_TO_NEWLINE,
            length=_LENGTHS.get(size, ""),
            size=max(size, 0),
            takes_mark=takes_mark,
            pops=len(before),
            pushes=len(known.stack_after),
        )
        yield known.code.encode("latin-1"), opcode


_KNOWN = dict(_opcodes())
OPCODES = [_KNOWN.get(bytes((code,))) for code in range(256)]
"""By code; None for what is no opcode."""
