"""The HTTP port for those who operate a server: pages for Prometheus and for probes, and nothing else."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

logger = logging.getLogger(__name__)

# Seconds that a peer may be silent.
TIMEOUT = 10.0


class Page(NamedTuple):
    """What is answered."""

    status: HTTPStatus
    content_type: str
    body: bytes


def text_page(text: str, status: HTTPStatus = HTTPStatus.OK) -> Page:
    """A few lines for people and probes."""
    return Page(status, "text/plain; charset=utf-8", f"{text}\n".encode())


class OperationsServer:
    """Answers GET and HEAD from threads of its own, so that it tells also of an event loop that hangs.

    Args:
        host: Name or address to listen on.
        port: 0 picks a free one.
        pages: By path; each is called with the request's ``Accept`` header, from a thread.

    Raises:
        OSError: The address cannot be bound.
    """

    def __init__(self, host: str, port: int, pages: Mapping[str, Callable[[str], Page]]) -> None:
        class Handler(_Handler):
            served = pages

        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._server = type("_Server", (_Server,), {"address_family": family})((host, port), Handler)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, name="operations-http", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Answer nothing more; blocks for half a second at most."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # the base's 5 has a probe that comes into a burst of others wait for a second
    block_on_close = False  # a peer that is silent does not hold up a stop

    def server_bind(self) -> None:
        """Bind, without asking the network for this host's name as the base class does."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002 - the base's signature
        """Pass over peers that went away; pages handle their own errors."""
        logger.debug("a request over HTTP was not finished")


class _Handler(BaseHTTPRequestHandler):
    served: Mapping[str, Callable[[str], Page]]
    timeout = TIMEOUT
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "Holdfast", ""

    def do_GET(self) -> None:
        """Answer with a page."""
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        """Answer without the page's body."""
        self._answer(with_body=False)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's signature
        """Probes come every few seconds: they are no news."""
        logger.debug("HTTP: " + format, *args)  # noqa: G003 - the base formats

    def _answer(self, *, with_body: bool) -> None:
        make = self.served.get(self.path.partition("?")[0])
        if make is None:
            page = text_page(f"There are {', '.join(sorted(self.served))}.", HTTPStatus.NOT_FOUND)
        else:
            try:
                page = make(self.headers.get("Accept", ""))
            except Exception:
                logger.exception("a page over HTTP failed")
                page = text_page("The page failed; the server's log says why.", HTTPStatus.INTERNAL_SERVER_ERROR)
        with contextlib.suppress(ConnectionError):
            self.send_response(page.status)
            self.send_header("Content-Type", page.content_type)
            self.send_header("Content-Length", str(len(page.body)))
            self.send_header("Cache-Control", "no-store")
            self.send_header("X-Content-Type-Options", "nosniff")
            self.end_headers()
            if with_body:
                self.wfile.write(page.body)
