"""A TCP proxy that counts what passes each way, and stands still or refuses when it is told to."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

WAIT_SECONDS = 60.0
# For a direction of a new connection: makes of the bytes that pass what is forwarded; None leaves them as they are.
Filter = Callable[[bool], Callable[[bytes], bytes] | None]
_FOR_EVER = float("inf")


class CountingProxy:
    """Forwards connections to a port of this machine.

    Attributes:
        port: Where it listens.
        sent: Bytes that went from clients to the server.
        received: Bytes that went from the server to clients.
        refused: Connections that were closed at once.
        holding: Whether bytes wait that may not pass now.
    """

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._filter: Filter = lambda up: None  # noqa: ARG005
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.sent = self.received = self.refused = 0
        self._let_sent = self._let_received = self._answers_end_at = _FOR_EVER
        self.holding = self._refusing = self._closed = False
        self._changed = threading.Condition()
        self._sockets: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._accept, name="counting-proxy", daemon=True)]
        self._threads[0].start()

    def hold(self, *, sent: int | None = None, received: int | None = None, answers_after: int | None = None) -> None:
        """Stand still in a direction once about so many bytes more have passed; connections stay open.

        ``answers_after``: nothing more is received once so many bytes more were sent.
        """
        with self._changed:
            if sent is not None:
                self._let_sent = self.sent + sent
            if received is not None:
                self._let_received = self.received + received
            if answers_after is not None:
                self._answers_end_at = self.sent + answers_after

    def refuse(self) -> None:
        """Cut all connections and close new ones at once, as a server does that is being restarted."""
        with self._changed:
            self._refusing = True
            self._changed.notify_all()
        self._cut()

    def cut(self) -> None:
        """Cut all connections, once; what waits is lost, and new ones are forwarded again."""
        self.refuse()
        self.go_on()

    def filter(self, make: Filter) -> None:
        """Change what passes in connections made from now on; ``make`` is told whether it is what clients send."""
        self._filter = make

    def go_on(self) -> None:
        """Forward everything again."""
        with self._changed:
            self._let_sent = self._let_received = self._answers_end_at = _FOR_EVER
            self.holding = self._refusing = False
            self._changed.notify_all()

    def wait_until(self, condition: Callable[[CountingProxy], bool]) -> None:
        """Wait for what the counters tell.

        Raises:
            AssertionError: It did not come within a minute.
        """
        with self._changed:
            came = self._changed.wait_for(lambda: condition(self), WAIT_SECONDS)
            assert came, f"sent {self.sent}, received {self.received}, refused {self.refused}"

    def close(self) -> None:
        """Cut everything and end all threads."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        # A thread that waits in accept() is not woken by a close, only by a connection.
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), 5).close()
        self._cut()
        for thread in self._threads:
            thread.join(10)
        for end in (self._listener, *self._sockets):
            end.close()

    def _accept(self) -> None:
        while True:
            client = self._listener.accept()[0]
            with self._changed:
                if self._closed:
                    client.close()
                    return
                if self._refusing:
                    self.refused += 1
                    self._changed.notify_all()
                    client.close()
                    continue
            try:
                server = socket.create_connection(("127.0.0.1", self._target_port), 10)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sockets |= {client, server}
            for source, sink, up in ((client, server, True), (server, client, False)):
                thread = threading.Thread(target=self._pump, args=(source, sink), kwargs={"up": up}, daemon=True)
                self._threads.append(thread)
                thread.start()

    def _pump(self, source: socket.socket, sink: socket.socket, *, up: bool) -> None:
        change = self._filter(up)
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                self._count(len(data), up=up)
                sink.sendall(change(data) if change else data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _count(self, size: int, *, up: bool) -> None:
        """Count, when the bytes may pass."""
        with self._changed:
            if not self._may_pass(up=up):
                self.holding = True
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._closed or self._refusing or self._may_pass(up=up))
            if up:
                self.sent += size
                if self.sent >= self._answers_end_at:
                    self._let_received, self._answers_end_at = self.received, _FOR_EVER
            else:
                self.received += size
            self._changed.notify_all()

    def _may_pass(self, *, up: bool) -> bool:
        return self.sent < self._let_sent if up else self.received < self._let_received

    def _cut(self) -> None:
        for end in list(self._sockets):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@contextmanager
def counting_proxy(target_port: int) -> Iterator[CountingProxy]:
    """A proxy before a port of this machine, gone at the end with all its connections."""
    with contextlib.closing(CountingProxy(target_port)) as proxy:
        yield proxy
