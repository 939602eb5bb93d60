"""Drivers as processes: asked by a line of JSON, given a time for the answer, ended by their process group."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NoReturn

from client.conformance.runner.errors import ConformanceError

# Seconds for a driver to end once its input has.
END_SECONDS = 20.0
# Characters of a request or an answer that a transcript shows.
SHOWN = 600


@dataclass(frozen=True, slots=True)
class Answer:
    """What a driver said: one of the two is set."""

    ok: Mapping[str, Any] | None = None
    error: Mapping[str, Any] | None = None

    def __str__(self) -> str:
        return shortened({"error": self.error} if self.ok is None else {"ok": self.ok})


def shortened(value: Any) -> str:
    """A value as JSON, cut where nobody reads on."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}… ({len(text):,} characters)"


class Driver:
    """A running driver of one language. ``end`` it, or ``kill`` it.

    Attributes:
        name: The language.
        transcript: What was asked and answered, for people.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        folder: Path,
        environment: Mapping[str, str],
        timeout: float,
        transcript: list[str],
    ) -> None:
        self.name, self.transcript = name, transcript
        self._timeout = timeout
        self._stderr_path = folder / f"{name}-{time.monotonic_ns()}.stderr"
        self._asked = ""
        self._killed = False
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        with self._stderr_path.open("wb") as stderr:
            self._process = subprocess.Popen(
                list(command), env=dict(environment), cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=stderr, start_new_session=True,
            )  # fmt: skip
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        self._stdin, self._stdout = stdin, stdout
        self._reader = threading.Thread(target=self._read, args=(stdout,), daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """Of its first process, which leads a session."""
        return self._process.pid

    def ask(self, op: str, arguments: Mapping[str, Any]) -> Answer:
        """Have something done and wait for the answer.

        Raises:
            ConformanceError: There is none, or it is none.
        """
        self.begin(op, arguments)
        return self.answer()

    def begin(self, op: str, arguments: Mapping[str, Any]) -> None:
        """Ask without waiting; ``answer`` does."""
        if self._asked:
            raise ConformanceError(f"{op} is asked for before {self._asked} was answered")
        self._asked = op
        request = {"op": op, **arguments}
        self.transcript.append(f"{self.name} <- {shortened(request)}")
        try:
            self._stdin.write(json.dumps(request).encode() + b"\n")
            self._stdin.flush()
        except OSError:
            self._fail_ended(self._process.wait())

    @property
    def has_answered(self) -> bool:
        """Whether what was begun has come to an end, however that is."""
        return not self._lines.empty()

    def answer(self) -> Answer:
        """Wait for the answer to what was begun."""
        op, self._asked = self._asked, ""
        try:
            line = self._lines.get(timeout=self._timeout)
        except queue.Empty:
            self.kill()
            raise ConformanceError(f"the driver did not answer {op} within {self._timeout:g} s{self._said()}") from None
        if line is None:
            self._asked = op
            self._fail_ended(self._process.wait())
        answer = _parsed(line, op)
        self.transcript.append(f"{self.name} -> {answer}")
        return answer

    def kill(self) -> None:
        """End it at once, with whatever it started, as by a power cut."""
        if self._killed:
            return
        self._killed = True
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._reader.join(END_SECONDS)
        with contextlib.suppress(OSError):  # what it has not read
            self._stdin.close()
        self._stdout.close()
        self._asked = ""

    def end(self) -> None:
        """End its input and wait until it ends.

        Raises:
            ConformanceError: It does not end, ends with another exit code than 0, or says more than it was asked.
        """
        if self._killed:
            return
        with contextlib.suppress(OSError):
            self._stdin.close()
        try:
            code = self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise ConformanceError(
                f"the driver did not end within {END_SECONDS:g} s of its input{self._said()}"
            ) from None
        self.kill()  # also what it left running
        if code != 0:
            raise ConformanceError(f"the driver ended with {_ended(code)}{self._said()}")
        more = self._lines.get()
        if more is not None:
            raise ConformanceError(f"the driver said more than it was asked: {shortened(more)}")

    def _read(self, stdout: IO[bytes]) -> None:
        with contextlib.suppress(ValueError, OSError):
            for line in stdout:
                self._lines.put(line.decode("utf-8", "replace"))
        self._lines.put(None)

    def _fail_ended(self, code: int) -> NoReturn:
        asked = f" when it was asked for {self._asked}" if self._asked else ""
        raise ConformanceError(f"the driver ended with {_ended(code)}{asked}{self._said()}")

    def _said(self) -> str:
        """The end of its standard error."""
        text = self._stderr_path.read_text("utf-8", "replace").strip()
        return f"; on its standard error:\n{text[-2_000:]}" if text else ""


def _ended(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"


def _parsed(line: str, op: str) -> Answer:
    try:
        answer = json.loads(line, parse_constant=_refuse_constant)
    except ValueError as error:
        raise ConformanceError(f"what the driver answered to {op} is no JSON ({error}): {shortened(line)}") from None
    if isinstance(answer, dict) and len(answer) == 1:
        (kind, content), *_ = answer.items()
        if kind == "ok" and isinstance(content, dict):
            return Answer(ok=content)
        if kind == "error" and isinstance(content, dict) and content.get("code"):
            told = {"reason": "", "message": "", "request_id": "", **content}
            if all(isinstance(text, str) for text in told.values()):
                return Answer(error=told)
    raise ConformanceError(
        f'the answer to {op} is neither {{"ok": {{…}}}} nor {{"error": {{"code": "…", …}}}}: {shortened(line)}'
    )


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON; write it as a string")
