"""Tokens and roles through the client and the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from tests.client.guarded_server import GuardedServer, guarded_server
from tests.server_process import clean_environment

import holdfast
from holdfast._client import Client
from holdfast.entities import Grant
from holdfast.errors import InvalidArgumentError, NotFoundError, PermissionDeniedError, UnauthenticatedError

Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def guarded() -> Iterator[GuardedServer]:
    with guarded_server() as server:
        yield server


@pytest.fixture
def owner(guarded: GuardedServer) -> Iterator[Client]:
    with guarded.owner() as client:
        yield client


@pytest.fixture
def run_command(guarded: GuardedServer) -> Command:
    """Runs the command as the owner, or with a token."""

    def run(*args: str, secret: str = "", expect: int = 0) -> subprocess.CompletedProcess[str]:
        uri = guarded.uri if secret else f"unix:{guarded.socket}"
        program = [str(Path(sys.executable).parent / "holdfast"), "--uri", uri, *args]
        environment = clean_environment({"HOLDFAST_TOKEN": secret} if secret else {})
        done = subprocess.run(program, capture_output=True, text=True, timeout=120, check=False, env=environment)
        assert done.returncode == expect, done.stdout + done.stderr
        return done

    return run


def test_a_token_lets_a_client_in_and_its_secret_hides(guarded, owner):
    created = owner.create_token("ada", new_principal_role="write", expires_in=timedelta(days=1), description="laptop")
    assert created.secret not in repr(created)
    with guarded.client(created.secret) as ada:
        assert created.secret not in repr(ada.channel.target)
        caller = ada.get_caller()
        assert (caller.principal, caller.role, caller.authentication_enabled) == ("ada", "write", True)
        assert caller.token is not None
        assert caller.token.token_id == created.token.token_id
        experiment = ada.create_experiment("of ada")
        run = ada.create_run(experiment)
        ada.log_text(run.info.run_id, "hello", "greeting.txt")
        with pytest.raises(PermissionDeniedError, match="admin"):
            ada.list_tokens()
    (token,) = owner.list_tokens("ada")
    assert token.description == "laptop"
    assert token.expiration_time is not None


def test_without_a_good_token_the_error_says_what_to_do(guarded, owner):
    with guarded.client() as nobody, pytest.raises(UnauthenticatedError, match="HOLDFAST_TOKEN") as refused:
        nobody.search_experiments()
    assert refused.value.reason == "TOKEN_MISSING"
    created = owner.create_token("gone", new_principal_role="read")
    owner.revoke_token(created.token.token_id)
    with guarded.client(created.secret) as gone, pytest.raises(UnauthenticatedError, match="HOLDFAST_TOKEN") as refused:
        gone.search_experiments()
    assert refused.value.reason == "TOKEN_REVOKED"
    assert created.secret not in str(refused.value)


def test_roles_on_resources_count_in_place_of_that_on_the_server(guarded, owner):
    experiment = owner.create_experiment("shared")
    owner.create_registered_model("shared-model")
    created = owner.create_token("eve", new_principal_role="none")
    with guarded.client(created.secret) as eve:
        with pytest.raises(NotFoundError):
            eve.get_experiment(experiment)
        owner.set_grant("eve", "read", experiment_id=experiment)
        owner.set_grant("eve", "write", registered_model="shared-model")
        assert eve.get_experiment(experiment).name == "shared"
        with pytest.raises(PermissionDeniedError, match="write on experiment"):
            eve.create_run(experiment)
        with pytest.raises(PermissionDeniedError, match="manage"):
            eve.delete_registered_model("shared-model")
        assert owner.list_grants("eve") == [
            Grant(principal="eve", role="read", experiment_id=experiment),
            Grant(principal="eve", role="write", registered_model="shared-model"),
        ]
        owner.set_grant("eve", None, experiment_id=experiment)
        with pytest.raises(NotFoundError):
            eve.get_experiment(experiment)
    assert [one.name for one in owner.list_principals() if one.name == "eve"] == ["eve"]
    owner.delete_principal("eve")
    assert owner.list_grants("eve") == []


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda c: c.create_token("a", role="boss"), id="role"),
        pytest.param(lambda c: c.create_token("a", expires_in=0), id="expired"),
        pytest.param(lambda c: c.create_token("a", expires_in="soon"), id="no-time"),
        pytest.param(lambda c: c.set_grant("a", "read"), id="no-resource"),
        pytest.param(lambda c: c.set_grant("a", "read", experiment_id="0", registered_model="m"), id="two-resources"),
    ],
)
def test_bad_arguments_are_refused(owner, call):
    with pytest.raises(InvalidArgumentError):
        call(owner)


def test_logging_with_a_token_works_as_without(guarded, owner, monkeypatch):
    created = owner.create_token("trainer", new_principal_role="write")
    with guarded.client(created.secret) as client:
        run = client.create_run("0")
        for step in range(5):
            client.log_metric(run.info.run_id, "loss", 1.0 / (step + 1), step=step)
        client.flush()
        assert len(client.get_metric_history(run.info.run_id, "loss")) == 5
    assert holdfast.Client is Client


@pytest.mark.slow
def test_the_first_token_is_made_and_used_from_a_shell(run_command):
    secret = run_command("token", "create", "--principal", "kim", "--role", "write", "--expires", "90d").stdout.strip()
    assert secret.startswith("hft_")
    told = json.loads(run_command("whoami", "--json", secret=secret).stdout)
    assert (told["principal"], told["role"]) == ("kim", "write")
    assert "kim" in run_command("whoami", secret=secret).stdout
    run_command("experiments", "create", "from-a-shell", secret=secret)
    assert "from-a-shell" in run_command("experiments", "ls", secret=secret).stdout
    run_command("access", "grant", "kim", "none", "-e", "from-a-shell")
    assert "from-a-shell" not in run_command("experiments", "ls", secret=secret).stdout
    listed = run_command("access", "ls", "--principal", "kim").stdout
    assert "the server" in listed
    run_command("access", "take-back", "kim", "--experiment", "from-a-shell")
    assert "from-a-shell" in run_command("experiments", "ls", secret=secret).stdout
    (token,) = map(json.loads, run_command("token", "ls", "--principal", "kim", "--json").stdout.splitlines())
    assert "secret" not in token
    run_command("token", "revoke", token["token_id"])
    refused = run_command("whoami", secret=secret, expect=1)
    assert "revoked" in refused.stderr
    assert token["token_id"] not in run_command("token", "ls").stdout
    assert "revoked" in run_command("token", "ls", "--all").stdout
    run_command("access", "remove", "kim")
    assert "kim" not in run_command("access", "ls").stdout
    run_command("access", "grant", "kim", "read", "-e", "0", expect=1)
    run_command("access", "take-back", "kim", expect=2)
    run_command("token", "create", "--principal", "kim", expect=1)


def test_an_upload_with_a_bad_token_says_so(guarded, owner, tmp_path):
    experiment = owner.create_experiment("uploads")
    run_id = owner.create_run(experiment).info.run_id
    created = owner.create_token("late", new_principal_role="write")
    large = tmp_path / "large.bin"
    large.write_bytes(bytes(range(256)) * (40 << 12))
    with guarded.client(created.secret) as late:
        owner.revoke_token(created.token.token_id)
        with pytest.raises(UnauthenticatedError, match="revoked"):
            late.log_artifact(run_id, large)
    reader = owner.create_token("reader", new_principal_role="read")
    with guarded.client(reader.secret) as client:
        with pytest.raises(PermissionDeniedError, match="write on"):
            client.log_artifact(run_id, large)
        with pytest.raises(PermissionDeniedError, match="write on"):
            client.log_text(run_id, "small", "small.txt")
    assert owner.list_artifacts(run_id) == []


def test_who_follows_an_artifact_is_told_when_the_token_is_revoked(guarded, owner):
    run_id = owner.create_run("0").info.run_id
    created = owner.create_token("follower", new_principal_role="read")
    with guarded.client(created.secret) as follower, owner.open_artifact(run_id, "train.log", "wb") as log:
        log.write(b"first\n")
        log.flush()
        lines = follower.tail_artifact(f"runs:/{run_id}/train.log", follow=True)
        assert next(iter(lines)).rstrip() in {b"first", "first"}
        owner.revoke_token(created.token.token_id)
        with pytest.raises(UnauthenticatedError, match="revoked"):
            list(lines)


TRAINING = """
import sys

import holdfast

with holdfast.start_run() as run:
    holdfast.log_metric("loss", 0.5, step=0)
    holdfast.flush()
    print(run.info.run_id, flush=True)
    sys.stdin.readline()
    holdfast.log_metric("loss", 0.4, step=1)
    holdfast.log_metric("accuracy", 0.9, step=1)
    holdfast.log_param("lr", 0.1)
"""


@pytest.mark.slow
def test_a_training_goes_on_when_its_token_is_revoked_and_what_it_logs_waits_for_a_good_one(guarded, owner, tmp_path):
    lapsed = owner.create_token("trainer-2", new_principal_role="write")

    def environment(secret: str) -> dict[str, str]:
        extra = {"HOLDFAST_URI": guarded.uri, "HOLDFAST_TOKEN": secret, "HOLDFAST_JOURNAL_DIR": str(tmp_path / "j")}
        return clean_environment(extra)

    with subprocess.Popen(
        [sys.executable, "-c", TRAINING],
        env=environment(lapsed.secret),
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as training:
        assert training.stdout is not None
        run_id = training.stdout.readline().strip()
        owner.revoke_token(lapsed.token.token_id)
        _, errors = training.communicate("go on\n", timeout=120)
        assert training.returncode == 0, errors
    assert "revoked" in errors
    assert lapsed.secret not in errors
    good = owner.create_token("trainer-2")
    command = [str(Path(sys.executable).parent / "holdfast"), "sync"]
    subprocess.run(command, env=environment(good.secret), check=True, timeout=120, capture_output=True)
    run = owner.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"lr": "0.1"}
    assert {key: run.data.metrics[key] for key in ("loss", "accuracy")} == {"loss": 0.4, "accuracy": 0.9}


def test_a_run_does_not_begin_with_a_bad_token(guarded, owner):
    gone = owner.create_token("gone-too", new_principal_role="write")
    owner.revoke_token(gone.token.token_id)
    with guarded.client(gone.secret) as client, pytest.raises(UnauthenticatedError, match="revoked"):
        client.create_run("0")
