"""The image without Docker: its file is read, and what it runs is really run in a clean virtual environment."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from tests.minio_server import COMMIT, MinioServer
from tests.ports import free_port
from tests.server_process import clean_environment, running_server
from tests.tls_files import TlsDirectory

from holdfast_server.config import DEFAULT_PORT
from holdfast_server.exposure import UsageError
from holdfast_server.settings import SETTINGS, read

ROOT = Path(__file__).resolve().parents[2]


@dataclass(slots=True)
class Stage:
    """One ``FROM`` and what follows it."""

    image: str
    name: str
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def all(self, keyword: str) -> list[str]:
        return [rest for word, rest in self.instructions if word == keyword]

    def last(self, keyword: str) -> str:
        return self.all(keyword)[-1]


def parse_dockerfile(text: str) -> list[Stage]:
    """The stages of a Dockerfile, its continued lines joined and its comments left out."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    stages: list[Stage] = []
    for line in re.sub(r"\\\n", " ", "\n".join(lines)).splitlines():
        if not line.strip():
            continue
        keyword, _, rest = line.strip().partition(" ")
        if keyword == "FROM":
            image, _, name = rest.partition(" AS ")
            stages.append(Stage(image, name))
        else:
            stages[-1].instructions.append((keyword, rest.strip()))
    return stages


@pytest.fixture(scope="module")
def stages() -> list[Stage]:
    return parse_dockerfile((ROOT / "Dockerfile").read_text())


@pytest.fixture(scope="module")
def compose() -> dict:
    return yaml.safe_load((ROOT / "compose.yaml").read_text())


def test_every_image_has_a_tag_that_names_a_version(stages: list[Stage]):
    assert [stage.name for stage in stages] == ["builder", "runtime"]
    for stage in stages:
        image, _, tag = stage.image.partition(":")
        assert re.match(r"\d+\.\d+", tag), f"{image} has no tag that says which version it is"
    # The environment that one stage makes is used in the other.
    assert stages[0].image == stages[1].image


def test_the_runtime_is_unprivileged_and_declares_what_it_offers(stages: list[Stage]):
    runtime = stages[-1]
    keywords = [keyword for keyword, _ in runtime.instructions]
    user, _, group = runtime.last("USER").partition(":")
    assert int(user) >= 10_000
    assert int(group) >= 10_000
    assert keywords.index("USER") < keywords.index("ENTRYPOINT")
    assert "RUN" not in keywords[keywords.index("USER") :]
    assert runtime.last("EXPOSE") == str(DEFAULT_PORT)
    assert runtime.last("VOLUME") == environment_of(runtime)["HOLDFAST_SERVER_DATA_DIR"]
    assert "CMD [" in runtime.last("HEALTHCHECK")


def test_the_entrypoint_is_a_command_line_that_the_server_takes(stages: list[Stage]):
    entrypoint = json.loads(stages[-1].last("ENTRYPOINT"))
    assert entrypoint[:3] == ["python", "-m", "holdfast_server"]
    environment = environment_of(stages[-1])
    with pytest.raises(UsageError, match="without TLS"):
        read(entrypoint[3:], environment)
    config = read(entrypoint[3:], {**environment, "HOLDFAST_SERVER_INSECURE": "1"}).config
    assert config.addresses == (f"0.0.0.0:{DEFAULT_PORT}",)
    assert config.data_dir == Path(stages[-1].last("VOLUME"))


def test_the_context_holds_what_is_copied_and_no_more(stages: list[Stage]):
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    assert patterns[0] == "*", "everything is left out that is not named"
    allowed = {pattern[1:] for pattern in patterns if pattern.startswith("!")}
    assert allowed == {source for sources, _ in copies(stages[0]) for source in sources}
    assert all((ROOT / name).exists() for name in allowed)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_image_builds_serves_and_is_healthy(stages: list[Stage], compose: dict, tmp_path: Path):
    """What ``docker build`` and ``docker run`` do, with paths below a directory of the test's own."""
    builder, runtime = stages
    places = {path: tmp_path / path.strip("/") for path in ("/src", "/dist", "/opt/holdfast", "/data")}
    for sources, target in copies(builder):
        for source in sources:
            copy_into_context(ROOT / source, places["/src"] / (source if target == "./" else target))
    assert not list(places["/src"].rglob("*_pb2*")), "the build must make the stubs itself"

    venv.create(tmp_path / "python", with_pip=True)
    environment = clean_environment({"PYTHONPATH": "", "VIRTUAL_ENV": "", "PYTHONHOME": ""})
    path = f"{tmp_path / 'python' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    for command in builder.all("RUN"):
        run(placed(command, places), cwd=places["/src"], environment={**environment, "PATH": path})

    (wheel,) = places["/dist"].glob("holdfast-*.whl")
    check_wheel(wheel, places["/src"])

    environment |= {name: placed(value, places) for name, value in environment_of(runtime).items()}
    environment["PATH"] = environment["PATH"].replace("$PATH", os.environ["PATH"])
    # Bound on every interface as in the image, on a port of this test's own.
    environment["HOLDFAST_SERVER_PORT"] = str(free_port())
    tls = TlsDirectory(tmp_path / "tls")
    compose_environment = compose["services"]["holdfast"]["environment"]
    environment |= {
        "HOLDFAST_SERVER_TLS_CERT": str(tls.directory / Path(compose_environment["HOLDFAST_SERVER_TLS_CERT"]).name),
        "HOLDFAST_SERVER_TLS_KEY": str(tls.directory / Path(compose_environment["HOLDFAST_SERVER_TLS_KEY"]).name),
        "HOLDFAST_SERVER_AUTH": compose_environment["HOLDFAST_SERVER_AUTH"],
    }
    python = places["/opt/holdfast"] / "bin" / "python"
    entrypoint = json.loads(runtime.last("ENTRYPOINT"))
    health_check = json.loads(runtime.last("HEALTHCHECK").partition("CMD ")[2])
    with running_server(command=[python, *entrypoint[1:]], environment=environment) as server:
        assert not any("WARNING" in line for line in server.lines)
        assert any(line.endswith(f", data in {places['/data']}") for line in server.lines)
        healthy = subprocess.run([python, *health_check[1:]], env=environment, cwd=tmp_path, check=False, timeout=120)
        assert healthy.returncode == 0
        assert server.stop() == 0
        gone = subprocess.run(
            [python, *health_check[1:]], env=environment, cwd=tmp_path, check=False, timeout=120, capture_output=True
        )
        assert gone.returncode == 1
    assert (places["/data"] / "holdfast.db").exists()


def check_wheel(wheel: Path, source: Path) -> None:
    """What the wheel must hold beside the modules: generated code, its types, and the schema."""
    names = set(zipfile.ZipFile(wheel).namelist())
    for proto in (source / "protos" / "holdfast" / "v1").glob("*.proto"):
        expected = [f"{proto.stem}_pb2.py", f"{proto.stem}_pb2.pyi"]
        if re.search(r"^service ", proto.read_text(), re.MULTILINE):
            expected += [f"{proto.stem}_pb2_grpc.py", f"{proto.stem}_pb2_grpc.pyi"]
        assert {f"holdfast/v1/{name}" for name in expected} <= names
    for root in (source / "client" / "python", source / "server"):
        wanted = {
            path.relative_to(root).as_posix()
            for pattern in ("*.py", "*.sql", "py.typed")
            for path in root.rglob(pattern)
        }
        assert wanted <= names
        assert any(name.endswith("py.typed") for name in wanted)
    assert any(fnmatch.fnmatch(name, "holdfast_server/storage/sql/migrations/*.sql") for name in names)
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"holdfast", "holdfast_server"}


def test_compose_is_consistent(compose: dict):
    services, volumes, networks = compose["services"], compose["volumes"], compose["networks"]
    for name, service in services.items():
        assert service["healthcheck"]["test"][0] == "CMD", name
        assert service["healthcheck"]["test"][1:], name
        assert set(service["networks"]) <= set(networks)
        assert set(named_volumes(service)) <= set(volumes)
        assert set(service["secrets"]) <= set(compose["secrets"])
        for dependency, condition in service.get("depends_on", {}).items():
            assert condition == {"condition": "service_healthy"}
            assert "healthcheck" in services[dependency]
    assert {volume for service in services.values() for volume in named_volumes(service)} == set(volumes)
    assert {secret for service in services.values() for secret in service["secrets"]} == set(compose["secrets"])


def test_compose_runs_the_image_as_it_is_meant_to_be(compose: dict, stages: list[Stage]):
    service, runtime = compose["services"]["holdfast"], stages[-1]
    made = runtime.all("RUN")[-1]
    assert runtime.last("VOLUME") in named_volumes(service).values()
    for target in named_volumes(service).values():
        assert re.search(rf"--owner=10001 .* {target}\b", made), f"{target} would be root's"
    assert [port.rpartition(":")[2] for port in service["ports"]] == [runtime.last("EXPOSE")]
    assert service["healthcheck"]["test"] == ["CMD", *json.loads(runtime.last("HEALTHCHECK").partition("CMD ")[2])]
    known = {setting.variable for setting in SETTINGS}
    assert {name for name in service["environment"] if name.startswith("HOLDFAST_")} <= known
    store = default_of(service["environment"]["HOLDFAST_SERVER_STORE"])
    config = read([], {**environment_of(runtime), **service["environment"], "HOLDFAST_SERVER_STORE": store}).config
    assert config.authenticates
    assert config.tls_cert
    assert not config.insecure
    assert service["stop_grace_period"] == "30s"
    assert config.drain_timeout < 30


def test_no_service_of_compose_has_rights_that_it_does_not_need(compose: dict):
    for name, service in compose["services"].items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name


def test_composes_store_is_one_of_its_services(compose: dict):
    from holdfast_server.storage.blocks.store_url import StoreUrl

    url = StoreUrl.parse(default_of(compose["services"]["holdfast"]["environment"]["HOLDFAST_SERVER_STORE"]))
    host, _, port = url.host.partition(":")
    assert host in compose["services"]["holdfast"]["depends_on"]
    assert f":{port}" in compose["services"][host]["command"]


def test_compose_takes_secrets_from_files_alone(compose: dict):
    for service in compose["services"].values():
        for name, value in service["environment"].items():
            if re.search("KEY|SECRET|PASSWORD|ROOT_USER|CREDENTIALS", name):
                assert Path(value).is_absolute(), name
                assert value.startswith("/tls/") or Path(value).name in service["secrets"], name
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert "/deploy/" in ignored
    assert all(secret["file"].startswith("deploy/") for secret in compose["secrets"].values())


def test_composes_minio_is_the_one_that_the_tests_use(compose: dict):
    inline = compose["services"]["store"]["build"]["dockerfile_inline"]
    (version,) = re.findall(r"github\.com/minio/minio@(\S+)", inline)
    assert version in (ROOT / "Makefile").read_text()
    assert version.endswith(f"-{COMMIT}")
    stages = parse_dockerfile(inline)
    assert all(re.search(r":\d", stage.image) for stage in stages)
    assert stages[-1].last("USER") != "0"


@pytest.mark.minio
def test_composes_health_check_of_minio_tells_a_running_one(compose: dict, minio: MinioServer):
    _, python, *arguments = compose["services"]["store"]["healthcheck"]["test"]
    assert python == "python"
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        absent = f"http://127.0.0.1:{silent.getsockname()[1]}"
        codes = [
            subprocess.run(
                [sys.executable, *(argument.replace("http://127.0.0.1:9000", endpoint) for argument in arguments)],
                stderr=subprocess.DEVNULL,
                timeout=30,
                check=False,
            ).returncode
            for endpoint in (minio.endpoint, absent)
        ]
    assert codes == [0, 1]


def named_volumes(service: dict) -> dict[str, str]:
    """Where a service has which of compose's own volumes; directories of the host are left out."""
    pairs = (volume.split(":") for volume in service["volumes"])
    return {name: target for name, target, *_ in pairs if not name.startswith(".")}


def copies(stage: Stage) -> Iterator[tuple[list[str], str]]:
    for rest in stage.all("COPY"):
        *sources, target = shlex.split(rest)
        if not sources[0].startswith("--from="):
            yield sources, target


def copy_into_context(source: Path, target: Path) -> None:
    """Copy as Docker would: without what ``.dockerignore`` leaves out at any depth."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    ignored = [line.removeprefix("**/") for line in lines if line.startswith("**/")]
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns(*ignored))
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)


def environment_of(stage: Stage) -> dict[str, str]:
    words = [word for rest in stage.all("ENV") for word in shlex.split(rest)]
    return dict(word.split("=", 1) for word in words)


def placed(text: str, places: dict[str, Path]) -> str:
    """The text with the image's directories replaced by the test's."""
    pattern = "|".join(re.escape(path) for path in places)
    return re.sub(rf"(?<![\w./])({pattern})(?![\w-])", lambda match: str(places[match[1]]), text)


def run(command: str, *, cwd: Path, environment: dict[str, str]) -> None:
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=500,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-4000:]}"


def default_of(value: str) -> str:
    """The default of ``${NAME:-default}``."""
    match = re.fullmatch(r"\$\{[A-Z0-9_]+:-(.+)\}", value)
    assert match, value
    return match[1]
