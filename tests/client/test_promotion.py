"""Promotion, copies and history through the client."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.client.conftest import ServerThread

from holdfast import _promotion
from holdfast._client import Client
from holdfast._context import user_name
from holdfast.errors import ConflictError, InvalidArgumentError, NotFoundError


@pytest.fixture
def versions(client: Client, run_id: str, name: str) -> str:
    """The name of a model with three versions."""
    client.log_text(run_id, "flavors: {}", "model/MLmodel")
    for _ in range(3):
        client.create_model_version(name, f"runs:/{run_id}/model", create_registered_model=True)
    return name


def test_an_alias_is_set_only_if_it_names_what_is_expected(client, versions):
    client.set_alias(versions, "prod", 1, expected="absent")
    with pytest.raises(ConflictError, match="names version 1 now, where no version was expected") as info:
        client.set_alias(versions, "prod", 2, expected="absent")
    assert info.value.metadata["version"] == "1"
    client.set_alias(versions, "prod", 2, expected=1)
    client.set_alias(versions, "prod", 3)
    with pytest.raises(ConflictError, match="names version 3 now, where version 2 was expected"):
        client.delete_alias(versions, "prod", expected="2")
    client.delete_alias(versions, "prod", expected=3)
    client.delete_alias(versions, "prod", expected="absent")
    with pytest.raises(ConflictError, match="names no version now"):
        client.set_alias(versions, "prod", 1, expected=3)
    with pytest.raises(InvalidArgumentError, match="whole number"):
        client.set_alias(versions, "prod", 1, expected="none")


def test_a_promotion_moves_everything_or_nothing(client, versions):
    client.promote(versions, 1, ["prod", "eu"])
    client.set_alias(versions, "candidate", 2)
    promoted = client.promote(
        versions,
        "2",
        aliases=["prod", "eu"],
        removed_aliases="candidate",
        tags={"checked": True},
        description="Better.",
        stage="production",
        archive_existing_versions=True,
        expected={"prod": 1, "eu": "1", "candidate": 2},
    )
    assert (promoted.version, promoted.aliases, promoted.tags) == ("2", ["eu", "prod"], {"checked": "True"})
    assert (promoted.description, promoted.current_stage) == ("Better.", "Production")
    with pytest.raises(ConflictError):
        client.promote(versions, 3, ["prod", "us"], deleted_tags="checked", expected={"prod": 1})
    assert client.get_registered_model(versions).aliases == {"prod": "2", "eu": "2"}
    assert client.promote(versions, 3, "prod", expected=2).aliases == ["prod"]
    assert client.promote(versions, 2, deleted_tags=["checked"]).tags == {}


def test_what_is_expected_must_be_meant_for_an_alias(client, versions):
    with pytest.raises(InvalidArgumentError, match="'eu', which is neither moved nor removed"):
        client.promote(versions, 1, "prod", expected={"eu": 1})
    with pytest.raises(InvalidArgumentError, match="One value for expected goes with one alias"):
        client.promote(versions, 1, ["prod", "eu"], expected=1)
    with pytest.raises(InvalidArgumentError, match="Say what shall change"):
        client.promote(versions, 1)
    assert client.get_registered_model(versions).aliases == {}


def test_stages_are_uris_too(client, versions, run_id, tmp_path):
    client.transition_model_version_stage(versions, 2, "Production")
    for uri in (f"models:/{versions}/Production", f"models:/{versions}/production/MLmodel"):
        assert Path(client.download_artifacts(artifact_uri=uri, dst_path=tmp_path)).exists()
    assert client.copy_model_version(f"models:/{versions}/None", f"{versions}-copy").source == f"models:/{versions}/3"
    with pytest.raises(NotFoundError):
        client.download_artifacts(artifact_uri=f"models:/{versions}/Staging", dst_path=tmp_path)
    with pytest.raises(InvalidArgumentError, match="models:/<name>/<stage>"):
        client.download_artifacts(artifact_uri=f"models:/{versions}/Prod", dst_path=tmp_path)
    assert [version.version for version in client.get_latest_versions(versions, [])] == ["2", "3"]


def test_a_copy_has_the_files_the_texts_and_the_run(client, versions, run_id):
    client.promote(versions, 1, "prod", tags={"k": "v"}, description="d")
    copied = client.copy_model_version(f"models:/{versions}@prod", f"{versions}-copy")
    original = client.get_model_version(versions, 1)
    assert (copied.digest, copied.run_id, copied.tags, copied.description) == (
        original.digest,
        run_id,
        {"k": "v"},
        "d",
    )
    assert (copied.version, copied.aliases, copied.source) == ("1", [], f"models:/{versions}/1")


def test_history_tells_who_changed_what(client, versions, monkeypatch):
    client.set_alias(versions, "prod", 1)
    client.set_alias(versions, "prod", 2)
    client.rename_registered_model(versions, f"{versions}-b")
    newest = client.get_model_history(f"{versions}-b", max_results=2)
    assert [(c.kind, c.name, c.version, c.key, c.old_value, c.new_value) for c in newest] == [
        ("MODEL_RENAMED", versions, None, None, versions, f"{versions}-b"),
        ("ALIAS_CHANGED", versions, "2", "prod", "1", "2"),
    ]
    assert {c.user_id for c in newest} == {user_name()}
    assert [c.principal for c in newest] == [None, None]
    rest = client.get_model_history(f"{versions}-b", page_token=newest.token)
    assert [c.kind for c in rest] == ["ALIAS_CHANGED", *["VERSION_CREATED"] * 3, "MODEL_CREATED"]
    assert len(rest[1].digest or "") == 64
    monkeypatch.setattr(_promotion, "HISTORY_PAGE_SIZE", 2)
    whole = client.get_model_history(f"{versions}-b")
    assert whole == [*newest, *rest]
    assert [c.timestamp for c in whole] == sorted((c.timestamp for c in whole), reverse=True)
    assert [c.kind for c in client.get_model_history(f"{versions}-b", "1")] == ["ALIAS_CHANGED"] * 2 + [
        "VERSION_CREATED"
    ]
    client.delete_registered_model(f"{versions}-b")
    assert client.get_model_history(f"{versions}-b")[0].kind == "MODEL_DELETED"
    with pytest.raises(NotFoundError):
        client.get_model_history(f"{versions}-never")


@pytest.mark.parametrize("deleted", ["run", "model", "both"])
def test_a_version_outlives_the_run_and_the_model_that_it_was_made_of(tmp_path, deleted):
    server = ServerThread(tmp_path / "data")
    try:
        with Client(server.uri) as client:
            package = tmp_path / "package"
            package.mkdir()
            (package / "MLmodel").write_bytes(b"flavors: {}\n" * 9_000)
            run_id = client.create_run("0").info.run_id
            model = client.create_logged_model("0", "forest", source_run_id=run_id)
            client.log_model_artifacts(model.model_id, package)
            client.finalize_logged_model(model.model_id, "READY")
            version = client.register_logged_model("kept", model.model_id)
            client.set_alias("kept", "prod", 1)
            if deleted != "model":
                client.delete_run(run_id)
            if deleted != "run":
                client.delete_logged_model(model.model_id)
            client.collect_garbage(grace=0, purge_deleted=0)
            copied = client.copy_model_version("models:/kept@prod", "copied")
            client.delete_model_version("kept", 1)
            client.collect_garbage(grace=0, purge_deleted=0)
            assert (copied.digest, copied.run_id) == (version.digest, run_id)
            uri = client.get_model_version_download_uri("copied", copied.version)
            assert uri == "models:/copied/1"
            local = Path(client.download_artifacts(artifact_uri=uri, dst_path=tmp_path / "out"))
            assert (local / "MLmodel").read_bytes() == (package / "MLmodel").read_bytes()
            assert client.check_storage(deep=True).problems == 0
    finally:
        server.stop()
