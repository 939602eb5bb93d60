"""``holdfast completion``, in a real shell."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete
from tests.client.cli_runs import PROGRAM
from tests.server_process import clean_environment

from holdfast.cli import cli

# Asks for completion as bash does when somebody presses the key behind the words.
_ASK = """
eval "$(holdfast completion bash)"
complete -p holdfast > /dev/null || exit 1
COMP_WORDS=({words})
COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_holdfast_completion holdfast
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def completed(words: str) -> list[str]:
    environment = clean_environment()
    environment["PATH"] = f"{Path(PROGRAM).parent}:{environment['PATH']}"
    done = subprocess.run(
        ["bash", "--norc", "-c", _ASK.format(words=words)],
        capture_output=True, text=True, timeout=120, check=False, env=environment,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        pytest.param("holdfast exp", ["experiments"], id="a group"),
        pytest.param("holdfast runs re", ["rename", "restore"], id="commands"),
        pytest.param("holdfast runs ls --or", ["--order-by"], id="an option"),
        pytest.param("holdfast experiments ls --view d", ["deleted"], id="a value"),
    ],
)
def test_bash_completes(words, expected):
    assert completed(words) == expected


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_script(shell):
    done = subprocess.run([PROGRAM, "completion", shell], capture_output=True, text=True, check=True)
    assert "_HOLDFAST_COMPLETE" in done.stdout
    assert "%(" not in done.stdout


def test_an_unknown_shell_is_refused():
    done = subprocess.run([PROGRAM, "completion", "cmd"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "'bash', 'zsh', 'fish'" in done.stderr


def test_completing_commands_imports_none_of_them():
    code = """
import sys
from click.shell_completion import ShellComplete
from holdfast.cli import cli
for words in ([], ["runs"], ["experiments"]):
    assert ShellComplete(cli, {}, "holdfast", "_HOLDFAST_COMPLETE").get_completions(words, "")
print(*(name for name in sys.modules if name.startswith(("holdfast.", "grpc"))))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    light = {"holdfast.cli", "holdfast.cli.lazy", "holdfast.errors", "holdfast.cli.runs", "holdfast.cli.experiments"}
    assert loaded == light


def test_help_of_a_group_is_the_first_thing_that_each_command_says():
    completion = ShellComplete(cli, {}, "holdfast", "_HOLDFAST_COMPLETE")
    helps = {item.value: item.help for item in completion.get_completions([], "")}
    assert helps["runs"] == cli.get_command(click.Context(cli), "runs").help
