"""Plays a scenario in a language and judges what comes of it."""

from __future__ import annotations

import contextlib
import tempfile
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from client.conformance.runner.actions import ACTIONS
from client.conformance.runner.drivers import Answer, shortened
from client.conformance.runner.errors import ConformanceError
from client.conformance.runner.expecting import fields_difference
from client.conformance.runner.languages import Language
from client.conformance.runner.scenarios import Scenario, Step
from client.conformance.runner.servers import Place
from client.conformance.runner.stage import Stage, expect_error_free

# Seconds that a driver has for an answer: more than a client looks for a server that went away.
TIMEOUT = 120.0
# Lines of a transcript that a failure shows.
SHOWN_LINES = 30


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a scenario.

    Attributes:
        seconds: How long it took.
        failure: What went wrong; empty when nothing did.
    """

    seconds: float
    failure: str = ""


def play(
    scenario: Scenario, language: Language, *, others: tuple[Language, ...], place: Place, timeout: float = TIMEOUT
) -> Outcome:
    """Play a scenario in a directory of its own, which is gone afterwards."""
    place.revive()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="holdfast-conformance-", ignore_cleanup_errors=True) as folder:
        stage = Stage(language, others=others, place=place, folder=Path(folder), timeout=timeout)
        with contextlib.closing(stage):
            failure = _failure_of(scenario, stage)
    return Outcome(time.monotonic() - begun, failure)


def _failure_of(scenario: Scenario, stage: Stage) -> str:
    where = ["at its end"]
    try:
        _play_all(scenario.steps, stage, where)
        stage.end()
    except ConformanceError as error:
        return _told(scenario, stage, where[-1], str(error))
    except Exception:  # noqa: BLE001 - one scenario less, and the others go on
        return _told(scenario, stage, where[-1], f"the runner failed\n{traceback.format_exc()}")
    return ""


def _play_all(steps: Sequence[Step], stage: Stage, where: list[str]) -> None:
    for number, step in enumerate(steps, 1):
        where.append(f"{where[-1]}, step {number} ({step})" if len(where) > 1 else f"step {number} ({step})")
        if step.kind == "for_others":
            for other in stage.others:
                where.append(f"{where[-1]} {other.name}")
                with stage.on_trial(other):
                    _play_all(step.steps, stage, where)
                where.pop()
        else:
            _play(step, stage)
        where.pop()


def _play(step: Step, stage: Stage) -> None:
    if step.kind == "ask":
        _judge(step, stage, stage.driver_of(step.by).ask(step.op, stage.filled(step.arguments)))
    elif step.kind == "begin":
        stage.driver_of(step.by).begin(step.op, stage.filled(step.arguments))
    elif step.kind == "answer":
        _judge(step, stage, stage.answer(step.by))
    else:
        stage.transcript.append(f"{step.kind} {shortened(stage.filled(step.arguments))}")
        ACTIONS[step.kind](stage, **stage.filled(step.arguments))


def _judge(step: Step, stage: Stage, answer: Answer) -> None:
    error = step.expect_error
    if error is not None:
        if answer.error is None:
            raise ConformanceError(f"the error {shortened(error)} was expected, and {answer} came")
        told = fields_difference(answer.error, stage.filled(error), "the error")
        if told:
            raise ConformanceError(f"{told}; it is {answer}")
        return
    content = expect_error_free(answer)
    told = fields_difference(content, stage.filled(step.expect or {}), "the answer")
    if told:
        raise ConformanceError(told)
    for name, key in step.save.items():
        if key not in content:
            raise ConformanceError(f"the answer lacks {key!r}: {answer}")
        stage.names[name] = content[key]


def _told(scenario: Scenario, stage: Stage, where: str, what: str) -> str:
    lines = stage.transcript[-SHOWN_LINES:]
    left_out = [f"… {len(stage.transcript) - len(lines)} lines before"] if len(lines) < len(stage.transcript) else []
    shown = "\n".join(f"    {line}" for line in [*left_out, *lines])
    return f"{scenario.name} in {stage.language.name} on {stage.place.store}, {where}: {what}\n{shown}"
