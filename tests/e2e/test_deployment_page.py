"""docs/deployment.md: what is done by hand there is done here, and the files that it prints are checked or run."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import kubernetes_validate
import pytest
import yaml
from tests.e2e.nginx import running_nginx
from tests.e2e.pages import blocks, check_page, read_page
from tests.minio_server import MinioServer
from tests.ports import free_ports
from tests.server_process import clean_environment, running_server
from tests.tls_files import TlsDirectory

from holdfast_server.settings import SETTINGS, read

PAGE = read_page("deployment.md")
HOLDFAST = Path(sys.executable).with_name("holdfast")
# The oldest and the newest that the manifest is promised for.
KUBERNETES = ("1.29", kubernetes_validate.latest_version())


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder whose sockets have paths that are short enough."""
    folder = Path(tempfile.mkdtemp(prefix="hf"))
    yield folder
    shutil.rmtree(folder)


def printed_file(language: str, path: str) -> str:
    """A file that the page prints under a comment that names it."""
    (text,) = [block for block in blocks(PAGE, language) if block.startswith(f"# {path}\n")]
    return text


@pytest.mark.slow
@pytest.mark.minio
@pytest.mark.timeout(600)  # each command is a process, of which a busy machine starts one a second or less
def test_what_is_done_by_hand_works_as_it_reads(
    minio: MinioServer, short_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINIO_USER", minio.access_key)
    monkeypatch.setenv("MINIO_PASSWORD", minio.secret_key)
    port, metrics = free_ports(2)
    bucket = f"deploy-{port}"
    page = PAGE.replace("s3://holdfast?", f"s3://{bucket}?").replace("127.0.0.1:9000", urlsplit(minio.endpoint).netloc)
    page = page.replace("HOLDFAST_SERVER_HOST=0.0.0.0", f"HOLDFAST_SERVER_HOST=0.0.0.0 HOLDFAST_SERVER_PORT={port}")
    page = page.replace(":5600", f":{port}").replace(":9464", f":{metrics}")
    assert check_page(page, short_folder) > 25


def test_the_unit_holds_settings_that_the_server_takes() -> None:
    lines = printed_file("ini", "/etc/systemd/system/holdfast.service").splitlines()
    pairs = (line.removeprefix("Environment=").split("=", 1) for line in lines if line.startswith("Environment="))
    environment = dict(pairs)
    assert set(environment) <= {setting.variable for setting in SETTINGS}
    config = read([], environment).config
    assert config.authenticates
    assert not config.insecure
    assert str(config.data_dir) == "/var/lib/holdfast"
    assert "StateDirectory=holdfast" in lines


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze here")
def test_systemd_takes_the_unit_and_rates_it_as_safe(tmp_path: Path) -> None:
    unit = tmp_path / "holdfast.service"
    text = printed_file("ini", "/etc/systemd/system/holdfast.service")
    # Whoever verifies looks for the program and the user.
    text = text.replace("/opt/holdfast/bin/holdfast", str(HOLDFAST)).replace("=holdfast\nGroup=holdfast", "=daemon")
    unit.write_text(text)
    for command in (["verify"], ["security", "--offline=true", "--threshold=20"]):
        done = subprocess.run(
            ["systemd-analyze", *command, str(unit)], capture_output=True, text=True, timeout=120, check=False
        )
        complaints = [line for line in done.stderr.splitlines() if "holdfast" in line]
        assert done.returncode == 0, done.stdout + done.stderr
        assert complaints == []


@pytest.fixture(scope="module")
def manifest() -> dict[str, dict]:
    """What the manifest describes, by kind."""
    documents = list(yaml.safe_load_all(printed_file("yaml", "holdfast.yaml")))
    return {document["kind"]: document for document in documents}


@pytest.mark.parametrize("version", KUBERNETES)
def test_the_manifest_is_what_kubernetes_takes(manifest: dict[str, dict], version: str) -> None:
    assert set(manifest) == {"StatefulSet", "Service", "NetworkPolicy"}
    for document in manifest.values():
        kubernetes_validate.validate(document, version, strict=True)


def test_the_manifest_fits_together(manifest: dict[str, dict]) -> None:
    workload = manifest["StatefulSet"]["spec"]
    assert workload["replicas"] == 1, "two servers of two pods must not share a data directory"
    pod = workload["template"]["spec"]
    (container,) = pod["containers"]
    assert workload["serviceName"] == manifest["Service"]["metadata"]["name"]
    labels = workload["template"]["metadata"]["labels"]
    assert labels == workload["selector"]["matchLabels"]
    assert labels == manifest["Service"]["spec"]["selector"]
    assert labels == manifest["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"]
    volumes = {volume["name"] for volume in pod["volumes"]}
    volumes |= {claim["metadata"]["name"] for claim in workload["volumeClaimTemplates"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes
    ports = {port["name"] for port in container["ports"]}
    used = {container[probe]["httpGet"]["port"] for probe in ("startupProbe", "readinessProbe", "livenessProbe")}
    used |= {port["targetPort"] for port in manifest["Service"]["spec"]["ports"]}
    used |= {port["port"] for rule in manifest["NetworkPolicy"]["spec"]["ingress"] for port in rule["ports"]}
    assert used == ports


def test_the_manifest_runs_the_image_without_rights(manifest: dict[str, dict]) -> None:
    pod = manifest["StatefulSet"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    dockerfile = (Path(__file__).parents[2] / "Dockerfile").read_text()
    user = re.search(r"^USER (\d+):(\d+)$", dockerfile, re.MULTILINE)
    assert user
    assert (str(pod["securityContext"]["runAsUser"]), str(pod["securityContext"]["fsGroup"])) == user.groups()
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    environment = {variable["name"]: variable["value"] for variable in container["env"]}
    assert set(environment) <= {setting.variable for setting in SETTINGS}
    config = read([], environment).config
    assert config.authenticates
    assert config.tls_cert is not None
    assert config.drain_timeout < pod["terminationGracePeriodSeconds"]
    mounts = [Path(mount["mountPath"]) for mount in container["volumeMounts"]]
    assert config.data_dir not in mounts, "the root of a volume belongs to somebody else"
    assert any(mount in config.data_dir.parents for mount in mounts)


@pytest.mark.slow
@pytest.mark.timeout(360)
@pytest.mark.skipif(not shutil.which("nginx"), reason="no nginx here")
def test_nginx_carries_what_is_large_and_what_is_long(short_folder: Path) -> None:
    """An upload beyond nginx' default limit, a download, and a watch that is open while something happens."""
    tls = TlsDirectory(short_folder / "tls")
    data, (port,) = short_folder / "data", free_ports(1)
    weights = short_folder / "weights.bin"
    weights.write_bytes(bytes(range(256)) * (12 << 12))
    with running_server("--data-dir", str(data), "--port", "0", "--auth", "tokens") as server:
        text = printed_file("nginx", "/etc/nginx/conf.d/holdfast.conf")
        for old, new in {
            "listen 443": f"listen 127.0.0.1:{port}",
            "db.lan": "localhost",
            "/etc/holdfast/tls/server.crt": str(tls.cert),
            "/etc/holdfast/tls/server.key": str(tls.key),
            "grpc://127.0.0.1:5600": f"grpc://{server.address}",
        }.items():
            assert old in text
            text = text.replace(old, new)
        owner = clean_environment({"HOLDFAST_URI": f"unix:{data}/holdfast.sock"})
        token = holdfast(owner, "token", "create", "--principal", "ada", "--role", "admin").strip()
        client = clean_environment(
            {**tls.trusting, "HOLDFAST_URI": f"holdfast+tls://localhost:{port}", "HOLDFAST_TOKEN": token}
        )
        with running_nginx(text, short_folder / "nginx"):
            run = holdfast(client, "runs", "create").strip()
            watch = subprocess.Popen([HOLDFAST, "runs", "tail", run], env=client, stdout=subprocess.PIPE, text=True)
            try:
                holdfast(client, "artifacts", "put", str(weights), f"runs:/{run}")
                holdfast(client, "artifacts", "get", f"runs:/{run}/weights.bin", str(short_folder / "got"))
                holdfast(client, "runs", "end", run)
                output, _ = watch.communicate(timeout=120)
            finally:
                watch.kill()
                watch.wait()
            assert watch.returncode == 0
            assert "FINISHED" in output
            assert (short_folder / "got" / "weights.bin").read_bytes() == weights.read_bytes()
            stranger = clean_environment({**tls.trusting, "HOLDFAST_URI": client["HOLDFAST_URI"]})
            refused = subprocess.run([HOLDFAST, "whoami"], env=stranger, capture_output=True, text=True, check=False)
            assert refused.stderr.startswith("Error: This server asks who calls")


def holdfast(environment: dict[str, str], *arguments: str) -> str:
    """Standard output of a command that must succeed."""
    done = subprocess.run(
        [HOLDFAST, *arguments], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
