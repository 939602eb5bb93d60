"""What state machines share: how they are run, and two servers on one data directory."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test
from tests.faults.sizing import Sizing
from tests.server_process import running_server

from holdfast._client import Client


def run_machine(
    machine: type[RuleBasedStateMachine], sizing: Sizing, *, examples: int, steps: int, **attributes: Any
) -> None:
    """Run sequences of a machine's rules.

    Args:
        machine: Its rules find ``attributes`` on it.
        sizing: How many: ``examples`` times its factor. At size quick they are the same each time, else others.
        examples: Sequences at size 1.
        steps: Rules in each, at most.
        attributes: What the machine works on.
    """
    run_state_machine_as_test(
        type(machine.__name__, (machine,), attributes),
        settings=settings(
            max_examples=sizing.times(examples),
            stateful_step_count=steps,
            derandomize=sizing.name == "quick",
            deadline=None,
            database=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )


def outcome(call: Any) -> Any:
    """An answer, or the reason for which there is none."""
    try:
        return call.result()
    except grpc.RpcError as error:
        details = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin")
        if not details:
            raise
        info = error_details_pb2.ErrorInfo()
        for detail in status_pb2.Status.FromString(details).details:
            detail.Unpack(info)
        return info.reason


class ServerPair:
    """Two processes on one data directory, for all examples; each of these has names of its own.

    Attributes:
        channels: To either.
        source: A directory of files that can be registered.
        kills: How many processes were killed.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._open = [ExitStack(), ExitStack()]
        self._processes: list[Any] = [None, None]
        self._examples = self.kills = 0
        self.channels: list[grpc.Channel] = [None, None]  # type: ignore[list-item]
        for number in (0, 1):
            self._start(number)
        with Client(f"holdfast://{self._processes[0].address}") as client:
            run_id = client.create_run("0").info.run_id
            client.log_text(run_id, "flavors: {}", "model/MLmodel")
        self.source = f"runs:/{run_id}/model"

    def new_prefix(self) -> str:
        """What the names of another example begin with."""
        self._examples += 1
        return f"example-{self._examples}-"

    def kill_and_start(self, *numbers: int) -> None:
        """Kill these, all of them before one is started again."""
        for number in numbers:
            self._processes[number].process.kill()
            self._processes[number].process.wait()
            self.kills += 1
        for number in numbers:
            self._open[number].close()
            self._start(number)

    def close(self) -> None:
        """End both."""
        for stack in self._open:
            stack.close()

    def _start(self, number: int) -> None:
        stack, arguments = (
            self._open[number],
            ["--host", "127.0.0.1", "--port", "0", "--data-dir", str(self._directory)],
        )
        server = self._processes[number] = stack.enter_context(running_server(*arguments))
        self.channels[number] = stack.enter_context(grpc.insecure_channel(server.address))
