"""Where a run comes from: the user, the program and the commit, in the tags that MLflow keeps them in."""

from __future__ import annotations

import functools
import getpass
import os
import sys
from pathlib import Path
from typing import Any

from holdfast._git import Checkout, checkout_around

USER_TAG = "mlflow.user"
SOURCE_NAME_TAG = "mlflow.source.name"
SOURCE_TYPE_TAG = "mlflow.source.type"
GIT_COMMIT_TAG = "mlflow.source.git.commit"
GIT_BRANCH_TAG = "mlflow.source.git.branch"
GIT_URL_TAG = "mlflow.source.git.repoURL"
PARENT_TAG = "mlflow.parentRunId"
NOTE_TAG = "mlflow.note.content"
RUN_NAME_TAG = "mlflow.runName"

CONSOLE = "<console>"
# The notebook of a kernel: Jupyter's servers say it by a variable, VS Code by one of the notebook's own names.
NOTEBOOK_VARIABLE = "JPY_SESSION_NAME"
_VSCODE_NAME = "__vsc_ipynb_file__"


@functools.cache
def user_name() -> str:
    """Who runs this process; empty when the system does not know."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        # A container's user id may have no name.
        return ""


def context_tags() -> dict[str, str]:
    """Tags of a run that begins here and now."""
    notebook = in_notebook()
    program = sys.argv[0] if sys.argv else ""
    source = (_notebook_name() if notebook else "") or program or CONSOLE
    # A program is what it was when it began; a notebook or console lives on while commits are made.
    checkout = checkout_around("") if notebook or not program else _checkout_of(program)
    tags = {USER_TAG: user_name(), SOURCE_NAME_TAG: source, SOURCE_TYPE_TAG: "NOTEBOOK" if notebook else "LOCAL"}
    if checkout is not None:
        tags |= {GIT_COMMIT_TAG: checkout.commit, GIT_BRANCH_TAG: checkout.branch, GIT_URL_TAG: checkout.url}
    return {key: value for key, value in tags.items() if value}


@functools.cache
def _checkout_of(program: str) -> Checkout | None:
    """The repository that a program lies in; that of the working directory for code given to Python itself."""
    return checkout_around(str(Path(program).parent))


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    shell = _shell()
    return type(shell).__name__ == "ZMQInteractiveShell"


def _shell() -> Any:
    # IPython is loaded if we run in it.
    return getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()


def _notebook_name() -> str:
    """The notebook's file; empty when nobody says it."""
    name = os.environ.get(NOTEBOOK_VARIABLE, "") or getattr(_shell(), "user_ns", {}).get(_VSCODE_NAME, "")
    return Path(str(name)).name if name else ""
