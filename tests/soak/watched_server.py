"""``watched_server.py SOCKET …``: a Holdfast server that tells who connects to a socket what its heap holds.

What the system counts for a process is no measure of a leak over half an hour: memory that is free again stays with the
allocator, and Python collects cycles when it likes. Both move it by more than a leak would in that time.
``PYTHONMALLOC=malloc`` has the objects of Python counted, too.
"""

from __future__ import annotations

import ctypes
import gc
import runpy
import socketserver
import sys
import threading


class _Heap(ctypes.Structure):
    """``struct mallinfo2`` of glibc 2.33 and later (``man mallinfo2``)."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
        )
    ]  # fmt: skip


def bytes_in_use() -> int:
    """What was allocated and not freed, after what nobody refers to is collected."""
    gc.collect()
    libc = ctypes.CDLL(None)
    libc.mallinfo2.restype = _Heap
    heap = libc.mallinfo2()
    return int(heap.uordblks) + int(heap.hblkhd)


class _Answer(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request.sendall(b"%d" % bytes_in_use())


if __name__ == "__main__":
    server = socketserver.UnixStreamServer(sys.argv.pop(1), _Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    runpy.run_module("holdfast_server", run_name="__main__", alter_sys=True)
