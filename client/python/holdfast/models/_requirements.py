"""Requirement lists as users give them: lists or files, with ``-r`` and ``-c`` lines."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from holdfast.errors import InvalidArgumentError

__all__ = ["Requirements", "override", "parse_requirements", "project_name"]


class Requirements(NamedTuple):
    """Requirement lines, and the constraint lines that limit them."""

    requirements: list[str]
    constraints: list[str]


def parse_requirements(source: str | os.PathLike[str] | Iterable[str], argument: str) -> Requirements:
    """Read a requirements file, or a list of requirement lines.

    Comments and blank lines go, continued lines are joined, and files named by ``-r`` and ``-c`` lines are read in
    their place: relative to the file that names them, or to the working directory in a list.

    Args:
        source: Path of a file, or the lines.
        argument: The name of the argument, for errors.

    Raises:
        FileNotFoundError: A file is missing.
        InvalidArgumentError: It is neither a path nor strings, or files name each other in a circle.
    """
    found = Requirements([], [])
    if isinstance(source, (str, os.PathLike)):
        if Path(source).is_dir():
            raise InvalidArgumentError(
                f"{argument} must be a list of requirement strings or the path of a requirements file, and "
                f"{os.fspath(source)!r} is a directory."
            )
        _read_file(Path(source), found, (), is_constraint=False)
        return found
    lines = list(source) if isinstance(source, Iterable) else [source]
    if not all(isinstance(line, str) for line in lines):
        raise InvalidArgumentError(
            f"{argument} must be a list of requirement strings or the path of a requirements file, got {source!r}."
        )
    _read_lines(lines, Path.cwd(), found, (), is_constraint=False)
    return found


def _read_file(path: Path, found: Requirements, parents: tuple[Path, ...], *, is_constraint: bool) -> None:
    if path.resolve() in parents:
        raise InvalidArgumentError(f"The requirements file {path} includes itself.")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise FileNotFoundError(f"The requirements file {path} does not exist.") from None
    except IsADirectoryError:
        raise InvalidArgumentError(f"The requirements file {path} is a directory.") from None
    except UnicodeDecodeError:
        raise InvalidArgumentError(f"The requirements file {path} is not UTF-8.") from None
    _read_lines(lines, path.parent, found, (*parents, path.resolve()), is_constraint=is_constraint)


def _read_lines(
    lines: Iterable[str], base: Path, found: Requirements, parents: tuple[Path, ...], *, is_constraint: bool
) -> None:
    for line in _joined(lines):
        option = re.match(r"(-r|--requirement|-c|--constraint)[\s=]+(.+)", line)
        if option:
            names_constraint = option[1] in ("-c", "--constraint")
            _read_file(base / option[2].strip(), found, parents, is_constraint=is_constraint or names_constraint)
        elif is_constraint:
            found.constraints.append(line)
        else:
            found.requirements.append(line)


def _joined(lines: Iterable[str]) -> Iterable[str]:
    """Yield logical lines: comments removed, lines that end with a backslash joined with the next."""
    pending = ""
    for line in lines:
        text = re.sub(r"(^|\s)#.*$", "", line).strip()
        if text.endswith("\\"):
            pending += text[:-1].strip() + " "
            continue
        if pending + text:
            yield (pending + text).strip()
        pending = ""
    if pending.strip():
        yield pending.strip()


def project_name(requirement: str) -> str | None:
    """Return the normalized project of a requirement line, or None for options, paths and URLs."""
    match = re.match(r"([A-Za-z0-9][A-Za-z0-9._-]*)\s*(\[|[<>=!~;@(\s]|$)", requirement)
    return re.sub(r"[-_.]+", "-", match[1]).lower() if match else None


def override(inferred: list[str], extra: list[str]) -> list[str]:
    """Return ``inferred`` followed by ``extra``, without the inferred lines of projects that ``extra`` names."""
    named = {project_name(line) for line in extra} - {None}
    kept = [line for line in inferred if project_name(line) not in named]
    return list(dict.fromkeys([*kept, *extra]))
