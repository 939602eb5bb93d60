"""Where a run comes from: the user, the program and the commit, in the tags that MLflow keeps them in."""

from __future__ import annotations

import functools
import getpass
import re
import sys
from pathlib import Path

USER_TAG = "mlflow.user"
SOURCE_NAME_TAG = "mlflow.source.name"
SOURCE_TYPE_TAG = "mlflow.source.type"
GIT_COMMIT_TAG = "mlflow.source.git.commit"
PARENT_TAG = "mlflow.parentRunId"
NOTE_TAG = "mlflow.note.content"
RUN_NAME_TAG = "mlflow.runName"

_COMMIT = re.compile(r"[0-9a-f]{40,64}")


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
    source = _source_name()
    tags = {
        USER_TAG: user_name(),
        SOURCE_NAME_TAG: source,
        SOURCE_TYPE_TAG: "NOTEBOOK" if in_notebook() else "LOCAL",
        GIT_COMMIT_TAG: git_commit(str(Path(source).absolute().parent)) if source else "",
    }
    return {key: value for key, value in tags.items() if value}


def _source_name() -> str:
    program = sys.argv[0] if sys.argv else ""
    if program in ("", "-c", "-m"):
        return Path(sys.executable).name if sys.executable else ""
    return program


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    # IPython is loaded if we run in it.
    ipython = sys.modules.get("IPython")
    shell = getattr(ipython, "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell"


@functools.cache
def git_commit(directory: str) -> str:
    """The commit checked out around ``directory``, 40 or 64 hex digits; empty when that is no repository.

    Reads the files instead of starting git, which would cost more than starting the run does.
    """
    try:
        git_dir = _git_directory(Path(directory))
        if git_dir is None:
            return ""
        head = (git_dir / "HEAD").read_text("utf-8").strip()
        if not head.startswith("ref:"):
            return head if _COMMIT.fullmatch(head) else ""
        return _resolve(git_dir, head.removeprefix("ref:").strip())
    except (OSError, ValueError):
        return ""


def _git_directory(directory: Path) -> Path | None:
    for parent in (directory, *directory.parents):
        candidate = parent / ".git"
        if candidate.is_dir():
            return candidate
        if candidate.is_file():
            # A worktree or submodule: the file says where its directory is.
            return parent / candidate.read_text("utf-8").strip().removeprefix("gitdir:").strip()
    return None


def _resolve(git_dir: Path, ref: str) -> str:
    common = git_dir
    if (git_dir / "commondir").is_file():
        common = git_dir / (git_dir / "commondir").read_text("utf-8").strip()
    for root in (git_dir, common):
        loose = root / ref
        if loose.is_file():
            commit = loose.read_text("utf-8").strip()
            return commit if _COMMIT.fullmatch(commit) else ""
    packed = common / "packed-refs"
    for line in packed.read_text("utf-8").splitlines() if packed.is_file() else ():
        commit, _, name = line.partition(" ")
        if name == ref and _COMMIT.fullmatch(commit):
            return commit
    return ""
