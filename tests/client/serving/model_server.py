"""A real ``holdfast models serve`` for tests: started, waited for, asked over its sockets, stopped by its own pid."""

import json
import re
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.server_process import clean_environment

START_TIMEOUT = 150
ROW = {"dataframe_split": {"columns": ["a", "b", "c", "d"], "data": [[5.1, 3.5, 1.4, 0.2]]}}


@dataclass
class ModelServer:
    """A model server that answers.

    Attributes:
        process: Its first process.
        lines: What it wrote to standard error.
        line: The one that says that it serves.
    """

    process: subprocess.Popen
    lines: list
    line: str

    @property
    def port(self):
        return int(re.search(r"http://127\.0\.0\.1:(\d+)", self.line)[1])

    @property
    def grpc_address(self):
        return re.search(r"gRPC on (\S+?),?( |$)", self.line)[1]

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def ask(self, path, body=None, content_type="application/json"):
        """Status, headers and text of an answer."""
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=body)
        if content_type is not None:
            request.add_header("Content-Type", content_type)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return answer.status, answer.headers, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers, error.read().decode()

    def predict(self, body, **options):
        """Status and JSON of a prediction."""
        status, _, text = self.ask("/invocations", body, **options)
        return status, json.loads(text)

    def metrics(self):
        """The value of each sample."""
        samples = (line.rpartition(" ") for line in self.ask("/metrics")[2].splitlines() if not line.startswith("#"))
        return {name: float(value) for name, _, value in samples}

    def ready(self):
        """Status and details of /ready."""
        status, _, text = self.ask("/ready")
        return status, json.loads(text)

    def stop(self, timeout=120):
        """Send SIGTERM and wait; returns the exit code."""
        self.process.terminate()
        return self.process.wait(timeout)


def until(condition, seconds=150):
    """Wait until ``condition()`` holds; returns what it gave."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it never came to be"
        time.sleep(0.02)
    return found


@contextmanager
def model_server(*arguments, environment=None, uri=None):
    """Start one on free ports and wait until it serves; what is left of it is killed at the end."""
    root = ["--uri", uri] if uri else []
    command = [Path(sys.executable).with_name("holdfast"), *root, "models", "serve", "-p", "0", "--grpc-port", "0"]
    process = subprocess.Popen(
        [*command, *arguments],
        env=clean_environment(environment),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    lines = []
    said = threading.Event()

    def follow():
        for line in process.stderr:
            lines.append(line.rstrip("\n"))
            if " serving " in line:
                said.set()
        said.set()

    reader = threading.Thread(target=follow, daemon=True)
    reader.start()
    try:
        assert said.wait(START_TIMEOUT), f"the server says nothing: {lines}"
        found = [line for line in lines if " serving " in line]
        assert found, f"the server did not start: {lines}"
        yield ModelServer(process, lines, found[0])
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(120)
            except subprocess.TimeoutExpired:
                process.kill()
        process.wait()
        reader.join(10)
        process.stderr.close()


def refused(*arguments, timeout=90):
    """Exit code and standard error of a server that does not start."""
    command = [Path(sys.executable).with_name("holdfast"), "models", "serve", *arguments]
    done = subprocess.run(
        command,
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    return done.returncode, done.stderr
