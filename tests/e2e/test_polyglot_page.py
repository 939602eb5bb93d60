"""docs/polyglot.md does what it says: recipes by grpcurl itself, stubs by protoc, and the forty lines upload."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.e2e.forty_lines import Uploader
from tests.e2e.pages import ROOT, blocks, check_page, read_page, section
from tests.grpcurl_fixtures import VERSION
from tests.server_process import running_server

import holdfast

PAGE = read_page("polyglot.md")
STUBS, RECIPES = section(PAGE, "Stubs for C++, C# and others"), section(PAGE, "Recipes for grpcurl")
(PSEUDOCODE,) = blocks(section(PAGE, "Uploading in forty lines"), "text")
SERVICES = [
    name
    for path in sorted((ROOT / "protos" / "holdfast" / "v1").glob("*_service.proto"))
    for name in re.findall(r"^service (\w+) \{", path.read_text(), re.MULTILINE)
]
NO_PROTOC = "no protoc with gRPC's plugins, or no g++ with gRPC's headers: install those that docs/polyglot.md names"
MIB = 1 << 20


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty one whose path is short, as that of a socket has to be."""
    path = Path(tempfile.mkdtemp(prefix="hf"))
    yield path
    shutil.rmtree(path)


@pytest.mark.slow
@pytest.mark.timeout(660)  # each command is a process, of which a busy machine starts one a second or less
def test_the_recipes_run_as_they_read(grpcurl: Path, folder: Path) -> None:
    commands = check_page(RECIPES, folder, "--reflection", programs=[grpcurl], from_repository=["protos", "buf.yaml"])
    assert commands > 50


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_has_a_recipe(service: str) -> None:
    assert re.search(rf"^\$ .*\b{service}/\w+", RECIPES, re.MULTILINE)


def test_the_page_installs_the_grpcurl_that_is_tested() -> None:
    assert f"github.com/fullstorydev/grpcurl/cmd/grpcurl@{VERSION}`" in PAGE
    assert f"\nGRPCURL_VERSION := {VERSION}\n" in (ROOT / "Makefile").read_text()


@pytest.mark.slow
@pytest.mark.timeout(660)  # compiles C++
def test_stubs_are_generated_and_a_program_of_cpp_runs(folder: Path) -> None:
    if not _has_protoc():
        if os.environ.get("HOLDFAST_REQUIRE_PROTOC") == "1":
            pytest.fail(f"HOLDFAST_REQUIRE_PROTOC=1 and {NO_PROTOC}", pytrace=False)
        pytest.skip(NO_PROTOC)
    assert check_page(STUBS, folder, from_repository=["protos", "buf.yaml"]) > 8


def test_every_language_that_has_a_client_is_told_with_its_readme() -> None:
    for readme in (ROOT / "client").glob("*/README.md"):
        assert f"`client/{readme.parent.name}/README.md`" in PAGE


def test_the_forty_lines_are_no_more() -> None:
    assert len([line for line in PSEUDOCODE.splitlines() if line.strip()]) <= 40


def test_the_forty_lines_upload_files_of_any_size_and_nothing_twice(tmp_path: Path) -> None:
    sources = tmp_path / "sources"
    sources.mkdir()
    sizes = {"empty": 0, "small": 5, "inline": 65_536, "over": 65_537, "block": 8 * MIB, "blocks": 20 * MIB + 1}
    for name, size in sizes.items():
        (sources / name).write_bytes(os.urandom(size))
    (sources / "small").chmod(0o755)
    with running_server("--host", "127.0.0.1", "--port", "0", "--data-dir", str(tmp_path / "data")) as server:
        client = holdfast.Client(f"holdfast://{server.address}")
        run = client.create_run("0").info.run_id
        with closing(Uploader(PSEUDOCODE, server.address)) as uploader:
            tree = uploader.upload(run, sources)
            assert tree.sequence == 1
            assert uploader.sent > sum(size for size in sizes.values() if size > 65_536)
            sent = uploader.sent
            assert uploader.upload(run, sources).sequence == 2
            assert uploader.sent == sent, "all blocks are there"
        found = Path(client.download_artifacts(run, dst_path=tmp_path / "found"))
    assert {path.name: path.read_bytes() for path in found.iterdir()} == {
        path.name: path.read_bytes() for path in sources.iterdir()
    }
    assert [path.name for path in found.iterdir() if os.access(path, os.X_OK)] == ["small"]


def test_the_forty_lines_go_on_after_an_interruption_and_commit_once(tmp_path: Path) -> None:
    sources = tmp_path / "sources"
    sources.mkdir()
    (sources / "blocks").write_bytes(os.urandom(40 * MIB))
    with running_server("--host", "127.0.0.1", "--port", "0", "--data-dir", str(tmp_path / "data")) as server:
        client = holdfast.Client(f"holdfast://{server.address}")
        run = client.create_run("0").info.run_id
        with closing(Uploader(PSEUDOCODE, server.address)) as uploader:
            uploader.break_after_a_block = uploader.lose_an_answer = True
            assert uploader.upload(run, sources).sequence == 1
            assert uploader.tries == 3, "one that broke, one whose answer was lost, and one that is told of its commit"
            assert uploader.sent_by_last_stream == 0
            assert uploader.sent < 80 * MIB, "what arrived is not sent again"


def _has_protoc() -> bool:
    programs = ["protoc", "grpc_cpp_plugin", "grpc_php_plugin", "grpc_ruby_plugin", "g++", "pkg-config"]
    if not all(map(shutil.which, programs)):
        return False
    return subprocess.run(["pkg-config", "--exists", "grpc++", "protobuf"], check=False).returncode == 0
