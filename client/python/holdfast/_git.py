"""The commit, branch and remote of the repository around a directory, read from its files.

Starting git would cost more than starting the run does. Only a repository whose references are not files (reftable)
is asked by git itself.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

GIT_SECONDS = 2.0
_COMMIT = re.compile(r"[0-9a-f]{40,64}")
_HEADS = "refs/heads/"
# References to references; more than one is hardly ever seen.
_MAX_DEPTH = 5
_REMOTE = re.compile(r'\[\s*remote\s+"(?P<name>.*)"\s*\]')
_URL = re.compile(r"url\s*=\s*(?P<url>.*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Checkout:
    """What is checked out.

    Attributes:
        commit: 40 or 64 hex digits.
        branch: Empty when the commit is detached.
        url: Of the first remote, without a user's name or password; empty when there is no remote.
    """

    commit: str
    branch: str
    url: str


def checkout_around(directory: str) -> Checkout | None:
    """What is checked out around ``directory``, which may be relative; None without a repository or a commit."""
    try:
        git_dir = _git_directory(Path(directory).absolute())
        if git_dir is None:
            return None
        common = _common_directory(git_dir)
        head = (git_dir / "HEAD").read_text("utf-8").strip()
        if (common / "reftable").is_dir():
            commit, head = _ask_git(directory)
        else:
            commit = _resolve(git_dir, common, head)
        if not _COMMIT.fullmatch(commit):
            return None
        branch = head.removeprefix("ref:").strip()
        return Checkout(commit, branch.removeprefix(_HEADS) if branch.startswith(_HEADS) else "", _first_remote(common))
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


def _git_directory(directory: Path) -> Path | None:
    for parent in (directory, *directory.parents):
        candidate = parent / ".git"
        if candidate.is_dir():
            return candidate
        if candidate.is_file():
            # A worktree or submodule: the file says where its directory is.
            return parent / candidate.read_text("utf-8").strip().removeprefix("gitdir:").strip()
    return None


def _common_directory(git_dir: Path) -> Path:
    """Where what all worktrees share is kept."""
    pointer = git_dir / "commondir"
    return git_dir / pointer.read_text("utf-8").strip() if pointer.is_file() else git_dir


def _resolve(git_dir: Path, common: Path, value: str) -> str:
    """The commit that the text of a reference leads to; empty when it leads to none."""
    for _ in range(_MAX_DEPTH):
        if not value.startswith("ref:"):
            return value
        value = _read_reference(git_dir, common, value.removeprefix("ref:").strip())
    return ""


def _read_reference(git_dir: Path, common: Path, ref: str) -> str:
    for root in (git_dir, common):
        loose = root / ref
        if loose.is_file():
            return loose.read_text("utf-8").strip()
    packed = common / "packed-refs"
    if packed.is_file():
        found = re.search(rf"^([0-9a-f]+) {re.escape(ref)}$", packed.read_text("utf-8"), re.MULTILINE)
        if found:
            return found[1]
    return ""


def _ask_git(directory: str) -> tuple[str, str]:
    """The commit and the full name of what is checked out; the latter is ``HEAD`` when that is no branch."""
    answer = subprocess.run(
        ["git", "rev-parse", "HEAD", "--symbolic-full-name", "HEAD"],
        cwd=directory or None, capture_output=True, encoding="utf-8", timeout=GIT_SECONDS, check=True,
    )  # fmt: skip
    commit, name = answer.stdout.split()
    return commit, name


def _first_remote(common: Path) -> str:
    config = common / "config"
    if not config.is_file():
        return ""
    in_remote = False
    for line in map(str.strip, config.read_text("utf-8").splitlines()):
        if line.startswith("["):
            in_remote = _REMOTE.fullmatch(line) is not None
        elif in_remote and (found := _URL.fullmatch(line)):
            return _without_credentials(found["url"].strip().strip('"'))
    return ""


def _without_credentials(url: str) -> str:
    """A URL as it may be shown: tags are read by everybody."""
    parts = urlsplit(url)
    if not parts.scheme or "@" not in parts.netloc:
        return url  # git@host:path has a user, but no password
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
