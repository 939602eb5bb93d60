"""Generates the Python stubs and their type files from the protos at build time.

They land in ``client/python/holdfast/v1`` (the proto package is the Python package, so nothing is rewritten) and are
not committed: an editable install, a wheel and an sdist build each make them afresh.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ProtoBuildHook(BuildHookInterface):
    """Runs protoc before hatchling collects files."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - hatchling's signature
        """Generate stubs for every proto, replacing those of an earlier build."""
        generate(Path(self.root))


def generate(root: Path) -> None:
    """Write ``*_pb2*.py(i)`` for all of ``protos/`` under ``client/python``.

    Raises:
        RuntimeError: protoc refused a file; its message is included.
    """
    import grpc_tools

    protos, out = root / "protos", root / "client" / "python"
    well_known = Path(grpc_tools.__file__).parent / "_proto"
    files = sorted(str(p.relative_to(protos)) for p in protos.rglob("*.proto"))
    for stale in (out / "holdfast" / "v1").glob("*_pb2*"):
        stale.unlink()
    # protoc finds the mypy plugin on PATH; an isolated build puts it beside the interpreter or in the overlay's bin.
    search = [str(Path(sys.executable).parent), sysconfig.get_path("scripts"), *_overlay_bins()]
    env = dict(os.environ, PATH=os.pathsep.join([*search, os.environ.get("PATH", "")]))
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{protos}", f"-I{well_known}"]
    command += [f"--{kind}={out}" for kind in ("python_out", "pyi_out", "grpc_python_out", "mypy_grpc_out")]
    done = subprocess.run([*command, *files], env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"protoc failed:\n{done.stderr}")
    for path in (out / "holdfast" / "v1").glob("*_pb2_grpc.py"):
        # A file without a service still gets an empty grpc module; it would only invite wrong imports.
        if "class " not in path.read_text():
            path.unlink()


def _overlay_bins() -> list[str]:
    """Directories beside ``sys.path`` entries in which an isolated build installs scripts."""
    found = []
    for entry in map(Path, sys.path):
        bins = [up / "bin" for up in list(entry.parents)[:4]]
        found.extend(str(path) for path in bins if (path / "protoc-gen-mypy_grpc").exists())
    return found


if __name__ == "__main__":
    generate(Path(__file__).resolve().parent.parent)
