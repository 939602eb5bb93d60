"""The environment files of a package: requirements.txt, constraints.txt, conda.yaml, python_env.yaml."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from holdfast.errors import InvalidArgumentError
from holdfast.models._distributions import pinned
from holdfast.models._requirements import override, parse_requirements, project_name
from holdfast.models._yaml import dump_yaml, load_yaml

__all__ = ["CONDA_FILE", "PYTHON_ENV_FILE", "REQUIREMENTS_FILE", "EnvironmentChoice", "read_environment"]

CONDA_FILE = "conda.yaml"
PYTHON_ENV_FILE = "python_env.yaml"
REQUIREMENTS_FILE = "requirements.txt"
CONSTRAINTS_FILE = "constraints.txt"

# Who builds an environment from the package with MLflow's tools (`mlflow models serve`) needs MLflow inside it.
# requirements.txt is what the model itself needs, and MLflow is not part of that.
_MLFLOW_TOOLS = "mlflow>=3,<4"

RequirementsArgument = str | os.PathLike[str] | Iterable[str] | None


@dataclass(frozen=True)
class EnvironmentChoice:
    """What the user said about the environment, read and checked.

    Attributes:
        conda_env: The conda environment as a mapping, when that was given.
        requirements: The user's requirement lines; None when they are to be inferred.
        extra: Lines that join the inferred ones.
        constraints: Lines of ``constraints.txt``.
    """

    conda_env: Mapping[str, Any] | None = None
    requirements: tuple[str, ...] | None = None
    extra: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()

    def write(self, directory: Path, infer: Callable[[], list[str]]) -> None:
        """Write the files into ``directory``; ``infer`` is called when the user gave no requirements."""
        lines = override(infer(), list(self.extra)) if self.requirements is None else list(self.requirements)
        if self.constraints:
            (directory / CONSTRAINTS_FILE).write_text("\n".join(self.constraints) + "\n", encoding="utf-8")
            lines.append(f"-c {CONSTRAINTS_FILE}")
        (directory / REQUIREMENTS_FILE).write_text("\n".join(lines) + "\n", encoding="utf-8")
        tools = [] if any(project_name(line) in ("mlflow", "mlflow-skinny") for line in lines) else [_MLFLOW_TOOLS]
        conda = _conda_env([*tools, *lines]) if self.conda_env is None else _with_pip(self.conda_env, [*tools, *lines])
        (directory / CONDA_FILE).write_text(dump_yaml(conda), encoding="utf-8")
        python_env = {
            "python": platform.python_version(),
            "build_dependencies": [pinned(name) or name for name in ("pip", "setuptools", "wheel")],
            "dependencies": [*tools, f"-r {REQUIREMENTS_FILE}"],
        }
        (directory / PYTHON_ENV_FILE).write_text(dump_yaml(python_env, sort_keys=False), encoding="utf-8")


def read_environment(
    conda_env: Mapping[str, Any] | str | os.PathLike[str] | None,
    pip_requirements: RequirementsArgument,
    extra_pip_requirements: RequirementsArgument,
) -> EnvironmentChoice:
    """Read the three arguments, of which at most one may be given.

    Raises:
        InvalidArgumentError: Several are given, or one has the wrong form.
        FileNotFoundError: One names a file that is not there.
    """
    given = {
        "conda_env": conda_env,
        "pip_requirements": pip_requirements,
        "extra_pip_requirements": extra_pip_requirements,
    }
    named = [name for name, value in given.items() if value is not None]
    if len(named) > 1:
        raise InvalidArgumentError(f"Give at most one of {', '.join(given)}; got {' and '.join(named)}.")
    if conda_env is not None:
        return _read_conda(conda_env)
    if pip_requirements is not None:
        lines, constraints = parse_requirements(pip_requirements, "pip_requirements")
        return EnvironmentChoice(requirements=tuple(lines), constraints=tuple(constraints))
    if extra_pip_requirements is not None:
        lines, constraints = parse_requirements(extra_pip_requirements, "extra_pip_requirements")
        return EnvironmentChoice(extra=tuple(lines), constraints=tuple(constraints))
    return EnvironmentChoice()


def _read_conda(conda_env: Mapping[str, Any] | str | os.PathLike[str]) -> EnvironmentChoice:
    if isinstance(conda_env, (str, os.PathLike)):
        path = Path(conda_env)
        if not path.is_file():
            raise FileNotFoundError(f"The conda environment {path} does not exist.")
        conda_env = load_yaml(path.read_bytes(), str(path))
    if not isinstance(conda_env, Mapping) or not isinstance(conda_env.get("dependencies", []), list):
        raise InvalidArgumentError(
            "conda_env must be a mapping with a list of dependencies, or the path of a YAML file with one."
        )
    dump_yaml(dict(conda_env))
    sections = [
        item["pip"] for item in conda_env.get("dependencies", []) if isinstance(item, Mapping) and "pip" in item
    ]
    lines, constraints = parse_requirements([line for section in sections for line in section], "pip in conda_env")
    return EnvironmentChoice(conda_env=conda_env, requirements=tuple(lines), constraints=tuple(constraints))


def _conda_env(lines: list[str]) -> dict[str, Any]:
    pip = pinned("pip")
    return {
        "name": "mlflow-env",
        "channels": ["conda-forge"],
        # conda-forge gets a new pip later than the package index, so the installed one is an upper bound.
        "dependencies": [
            f"python={platform.python_version()}",
            pip.replace("==", "<=") if pip else "pip",
            {"pip": lines},
        ],
    }


def _with_pip(conda_env: Mapping[str, Any], lines: list[str]) -> dict[str, Any]:
    others = [item for item in conda_env.get("dependencies", []) if not (isinstance(item, Mapping) and "pip" in item)]
    return {**conda_env, "dependencies": [*others, {"pip": lines}]}
