"""Tells what loading a pickle would import and call, by following its opcodes, never by loading it.

The stack and the memo of the unpickler are simulated, so that names which a pickle assembles, stores and fetches again
are those that the unpickler would see. What cannot be followed is told as such, and what stands behind a place where
the simulation ends is told to be unknown: it never counts as harmless. Large values are passed over without being
read.

The format is that of ``pickletools``; what the unpickler does with each opcode is that of ``Modules/_pickle.c``.
"""

from __future__ import annotations

import _compat_pickle
import codecs
import contextlib
import mmap
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from holdfast.models._pickle_content import Global, PickleContent
from holdfast.models._pickle_memo import EndError, Memo
from holdfast.models._pickle_opcodes import OPCODES

__all__ = ["scan_pickle"]

# What bounds the memory that following takes. Longer texts are no names of modules;
_MAX_TEXT = 500
# texts on a stack higher than this are unknown;
_MAX_TEXT_HEIGHT = 100_000
# and more values than these are not followed at all.
_MAX_STACK = 50_000_000
_STOP = ord(".")


class _Call(NamedTuple):
    """What a call of something returns."""

    target: Any


class _Few(NamedTuple):
    """A tuple of up to three values."""

    values: tuple[Any, ...]


class _Mark:
    """Where a list of arguments begins on the stack."""


_MARK = _Mark()
_UNKNOWN = Global("", "")


def scan_pickle(source: Path | bytes | bytearray) -> PickleContent:
    """Follow the pickle in a file, or in memory; its end is where loading it would stop reading."""
    if not isinstance(source, Path):
        return _Scan(source).run()
    with source.open("rb") as file:
        if not source.stat().st_size:
            return _Scan(b"").run()
        # Mapped, so that passing over a large value reads nothing of it.
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _Scan(data).run()


class _Scan:
    """One pass over one pickle."""

    def __init__(self, data: Any) -> None:
        self._data, self._end = data, len(data)
        self._at = self._start = 0
        self._stack: list[Any] = []
        self._memo = Memo()
        self._protocol = 0
        self._content = PickleContent()

    def run(self) -> PickleContent:
        """Follow all opcodes."""
        try:
            self.follow()
        except EndError as error:
            self._content.problems.append(f"cannot be followed beyond byte {self._start:,}: {error}")
        self._content.size = self._at
        return self._content

    def follow(self) -> None:
        """Go from opcode to opcode to the end."""
        data, end, stack = self._data, self._end, self._stack
        while True:
            self._start = start = self._at
            if start >= end:
                raise EndError("it ends in the middle")
            code = data[start]
            self._at = start + 1
            if code == _STOP:
                return
            special = _SPECIAL[code]
            if special is not None:
                special(self)
            else:
                self.apply(code)
            if len(stack) > _MAX_STACK:
                raise EndError(f"it holds more than {_MAX_STACK:,} values at once")

    def apply(self, code: int) -> None:
        """Do what an opcode without meaning for names does to the stack."""
        known = OPCODES[code]
        if known is None:
            raise EndError(f"{code:#x} is no opcode")
        if known.is_line:
            self.line()
        elif known.length:
            self.counted(known.length)
        elif known.size:
            self.skip(known.size)
        if known.takes_mark:
            self.to_mark()
        for _ in range(known.pops):
            self.pop()
        self._stack.extend([None] * known.pushes)

    # The bytes

    def take(self, count: int) -> bytes:
        start = self._at
        self.skip(count)
        return bytes(self._data[start : self._at])  # a bytearray's part is none

    def skip(self, count: int) -> None:
        if count > self._end - self._at:
            raise EndError("it ends in the middle")
        self._at += count

    def number(self, kind: str) -> int:
        if kind == "B":  # by far the most
            self.skip(1)
            return int(self._data[self._at - 1])
        found = int(struct.unpack(kind, self.take(struct.calcsize(kind)))[0])
        if found < 0:
            raise EndError("it has a negative length")
        return found

    def line(self) -> bytes | None:
        """A text up to the end of the line; None for a long one."""
        stop = self._data.find(b"\n", self._at)
        if stop < 0:
            raise EndError("it ends in the middle")
        line = None if stop - self._at > 4 * _MAX_TEXT else bytes(self._data[self._at : stop])
        self._at = stop + 1
        return line

    def counted(self, kind: str) -> bytes | None:
        """A text behind its length; None for a long one, which is passed over."""
        size = self.number(kind)
        if size > 4 * _MAX_TEXT:
            self.skip(size)
            return None
        return self.take(size)

    # The stack

    def pop(self) -> Any:
        if not self._stack:
            raise EndError("it takes from an empty stack")
        return self._stack.pop()

    def top(self) -> Any:
        if not self._stack or self._stack[-1] is _MARK:
            raise EndError("it takes from an empty stack")
        return self._stack[-1]

    def to_mark(self) -> list[Any]:
        items: list[Any] = []
        stack = self._stack
        while stack:
            item = stack.pop()
            if item is _MARK:
                items.reverse()
                return items
            items.append(item)
        raise EndError("it lacks a mark")

    # What opcodes do

    def push_text(self, text: str | None) -> None:
        self._stack.append(text if len(self._stack) < _MAX_TEXT_HEIGHT else None)

    def text(self, kind: str) -> None:
        data = self.counted(kind)
        self.push_text(_decoded(data, lambda raw: raw.decode("utf-8", "surrogatepass")))

    def legacy_text(self, kind: str) -> None:
        data = self.counted(kind)
        self.push_text(_decoded(data, lambda raw: raw.decode("ascii")))

    def quoted(self) -> None:
        self.push_text(_decoded(self.line(), _unquoted))

    def unicode_line(self) -> None:
        self.push_text(_decoded(self.line(), lambda raw: raw.decode("raw-unicode-escape")))

    def global_line(self) -> None:
        self._stack.append(self.named_by_lines())

    def named_by_lines(self) -> Global:
        module = _decoded(self.line(), bytes.decode)
        name = _decoded(self.line(), bytes.decode)
        return self.refer(module, name)

    def stack_global(self) -> None:
        name, module = self.pop(), self.pop()
        self._stack.append(self.refer(module, name))

    def refer(self, module: Any, name: Any) -> Global:
        """Note what a name refers to, by the rules of the unpickler."""
        if not isinstance(module, str) or not isinstance(name, str):
            self._content.globals[_UNKNOWN] = None
            return _UNKNOWN
        if self._protocol < 3:  # names of Python 2, such as __builtin__.eval
            module, name = _compat_pickle.NAME_MAPPING.get(
                (module, name), (_compat_pickle.IMPORT_MAPPING.get(module, module), name)
            )
        found = Global(module, name)
        self._content.globals[found] = None
        return found

    def call(self, target: Any, arguments: Any) -> None:
        """Note what is called, and put what it returns on the stack."""
        if isinstance(target, Global):
            self._content.called[target] = None
        elif isinstance(target, _Call):
            self._content.called[_returned(target)] = None
        else:
            self._content.called[_UNKNOWN] = None
        values = arguments.values if isinstance(arguments, _Few) else ()
        if isinstance(target, Global) and target.name in ("subimport", "dynamic_subimport") and values:
            self.import_of(values[0])
        self._stack.append(_Call(target if isinstance(target, Global) else _UNKNOWN))

    def import_of(self, name: Any) -> None:
        if isinstance(name, str):
            self._content.modules[name] = None
        else:
            self._content.problems.append("imports a module whose name cannot be followed")

    def reduce(self) -> None:
        arguments, target = self.pop(), self.pop()
        self.call(target, arguments)

    def new_object(self) -> None:
        self.pop()
        self.call(self.pop(), None)

    def new_object_with_keywords(self) -> None:
        self.pop()
        self.new_object()

    def instance(self) -> None:
        target = self.named_by_lines()
        self.to_mark()
        self.call(target, None)

    def object(self) -> None:
        items = self.to_mark()
        if not items:
            raise EndError("it makes an object of nothing")
        self.call(items[0], None)

    def extension(self, size: int) -> None:
        number = int.from_bytes(self.take(size), "little")
        self._content.problems.append(f"refers to extension {number} of copyreg, which may be anything")
        self._stack.append(_UNKNOWN)

    def persistent(self, *, by_line: bool) -> None:
        if by_line:
            self.line()
        else:
            self.pop()
        self._content.problems.append("refers to an object outside of it by a persistent id")
        self._stack.append(_UNKNOWN)

    def mark(self) -> None:
        self._stack.append(_MARK)

    def pop_mark(self) -> None:
        self.to_mark()

    def duplicate(self) -> None:
        self._stack.append(self.top())

    def tuple(self, count: int) -> None:
        values = tuple(reversed([self.pop() for _ in range(count)]))
        self._stack.append(_Few(values) if any(isinstance(value, (str, Global)) for value in values) else None)

    def marked_tuple(self) -> None:
        items = self.to_mark()
        kept = len(items) <= 3 and any(isinstance(value, (str, Global)) for value in items)
        self._stack.append(_Few(tuple(items)) if kept else None)

    def build(self) -> None:
        self.pop()
        self.top()  # the object stays, whatever __setstate__ makes of it

    def put(self, kind: str) -> None:
        self._memo.put(self.index(kind), self.top())

    def memoize(self) -> None:
        self._memo.put(len(self._memo), self.top())

    def get(self, kind: str) -> None:
        self._stack.append(self._memo.get(self.index(kind)))

    def index(self, kind: str) -> int:
        if kind:
            return self.number(kind)
        line = self.line()
        try:
            index = int(line or b"-")
        except ValueError:
            index = -1
        if index < 0:
            raise EndError("a memo entry has no number")
        return index

    def set_protocol(self) -> None:
        self._protocol = self.number("B")
        if self._protocol > 5:
            raise EndError(f"protocol {self._protocol} is not known")


def _decoded(data: bytes | None, decode: Callable[[bytes], str]) -> str | None:
    if data is None:
        return None
    with contextlib.suppress(ValueError, Warning):  # a DeprecationWarning may be an error
        text = decode(data)
        return text if len(text) <= _MAX_TEXT else None
    return None


def _unquoted(line: bytes) -> str:
    if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b"'", b'"'):
        raise EndError("a text lacks its quotes")
    decoded: Any = codecs.escape_decode(line[1:-1])[0]  # as pickle does
    return str(decoded.decode("ascii"))


def _returned(call: _Call) -> Global:
    return Global("", f"what {call.target} returns")


_NAMING: dict[bytes, Callable[[_Scan], Any]] = {
    b"\x80": _Scan.set_protocol,
    b"c": _Scan.global_line,
    b"\x93": _Scan.stack_global,
    b"i": _Scan.instance,
    b"o": _Scan.object,
    b"R": _Scan.reduce,
    b"\x81": _Scan.new_object,
    b"\x92": _Scan.new_object_with_keywords,
    b"b": _Scan.build,
    b"\x82": lambda scan: scan.extension(1),
    b"\x83": lambda scan: scan.extension(2),
    b"\x84": lambda scan: scan.extension(4),
    b"P": lambda scan: scan.persistent(by_line=True),
    b"Q": lambda scan: scan.persistent(by_line=False),
    b"(": _Scan.mark,
    b"1": _Scan.pop_mark,
    b"0": _Scan.pop,
    b"2": _Scan.duplicate,
    b"t": _Scan.marked_tuple,
    b"\x85": lambda scan: scan.tuple(1),
    b"\x86": lambda scan: scan.tuple(2),
    b"\x87": lambda scan: scan.tuple(3),
    b"p": lambda scan: scan.put(""),
    b"q": lambda scan: scan.put("B"),
    b"r": lambda scan: scan.put("<I"),
    b"\x94": _Scan.memoize,
    b"g": lambda scan: scan.get(""),
    b"h": lambda scan: scan.get("B"),
    b"j": lambda scan: scan.get("<I"),
    b"S": _Scan.quoted,
    b"V": _Scan.unicode_line,
    b"T": lambda scan: scan.legacy_text("<i"),
    b"U": lambda scan: scan.legacy_text("B"),
    b"\x8c": lambda scan: scan.text("B"),
    b"X": lambda scan: scan.text("<I"),
    b"\x8d": lambda scan: scan.text("<Q"),
}
_SPECIAL = [_NAMING.get(bytes((code,))) for code in range(256)]
