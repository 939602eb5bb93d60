"""A real nginx for tests, with one server of a page in it."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

START_TIMEOUT = 30.0
MAIN = """\
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
access_log off;
client_body_temp_path {folder}/body;
proxy_temp_path {folder}/proxy;
fastcgi_temp_path {folder}/fastcgi;
uwsgi_temp_path {folder}/uwsgi;
scgi_temp_path {folder}/scgi;
{server}
}}
"""


@contextmanager
def running_nginx(server: str, folder: Path) -> Iterator[None]:
    """Run nginx with a `server` block, until it accepts connections; it is ended by its own pid.

    Raises:
        AssertionError: It ended, or did not listen; its output is included.
    """
    folder.mkdir()
    configuration = folder / "nginx.conf"
    configuration.write_text(MAIN.format(folder=folder, server=server))
    address = server.partition("listen ")[2].split()[0]
    host, _, port = address.partition(":")
    log = folder / "output.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["nginx", "-c", configuration, "-e", folder / "error.log", "-p", folder], stdout=output, stderr=output
        )
    try:
        _wait(process, host, int(port), log)
        yield
    finally:
        process.terminate()  # to the master, which ends its worker
        process.wait(120)


def _wait(process: subprocess.Popen[bytes], host: str, port: int, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection((host, port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(f"nginx does not listen on {host}:{port}: {log.read_text()}")
