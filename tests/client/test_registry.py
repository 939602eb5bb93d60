"""The model registry through the client."""

from __future__ import annotations

import pytest

from holdfast._registry import version_number
from holdfast.errors import AlreadyExistsError, ConflictError, InvalidArgumentError, NotFoundError


@pytest.fixture
def model_id(client, experiment_id, run_id, tmp_path) -> str:
    """A finished logged model with a file."""
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "MLmodel").write_text("flavors: {}\n")
    model = client.create_logged_model(experiment_id, "forest", source_run_id=run_id)
    client.log_model_artifacts(model.model_id, tmp_path / "package")
    client.finalize_logged_model(model.model_id, "READY")
    return model.model_id


def test_registered_models_are_created_changed_and_deleted(client, name):
    model = client.create_registered_model(name, tags={"team": "ocr"}, description="Reads.")
    assert (model.name, model.tags, model.description) == (name, {"team": "ocr"}, "Reads.")
    assert (model.latest_versions, model.aliases) == ([], {})
    with pytest.raises(AlreadyExistsError):
        client.create_registered_model(name)
    client.set_registered_model_tag(name, "size", 3)
    client.delete_registered_model_tag(name, "team")
    client.update_registered_model(name, description="Reads better.")
    renamed = client.rename_registered_model(name, f"{name}-b")
    assert (renamed.name, renamed.tags, renamed.description) == (f"{name}-b", {"size": "3"}, "Reads better.")
    client.delete_registered_model(f"{name}-b")
    with pytest.raises(NotFoundError) as info:
        client.get_registered_model(f"{name}-b")
    assert info.value.reason == "REGISTERED_MODEL_NOT_FOUND"


def test_searching_registered_models(client, name):
    for number in range(3):
        client.create_registered_model(f"{name}-{number}", tags={"n": number})
    found = client.search_registered_models(f"name LIKE '{name}%'", max_results=2)
    assert [model.name for model in found] == [f"{name}-0", f"{name}-1"]
    rest = client.search_registered_models(f"name LIKE '{name}%'", max_results=2, page_token=found.token)
    assert [model.name for model in rest] == [f"{name}-2"]
    assert [model.name for model in client.search_registered_models(f"name LIKE '{name}%' AND tags.n = '1'")] == [
        f"{name}-1"
    ]


def test_a_version_keeps_the_link_to_its_run(client, name, model_id):
    client.create_registered_model(name)
    made = client.create_model_version(
        name, f"models:/{model_id}", None, None, "https://other.example/run", "described"
    )
    assert (made.run_link, made.description) == ("https://other.example/run", "described")
    assert client.get_model_version(name, 1).run_link == "https://other.example/run"
    assert client.create_model_version(name, f"models:/{model_id}").run_link is None


def test_registering_a_logged_model_creates_its_name(client, name, model_id, run_id):
    version = client.register_logged_model(name, model_id, tags={"a": 1})
    assert (version.name, version.version, version.status) == (name, "1", "READY")
    assert (version.model_id, version.run_id, version.source) == (model_id, run_id, f"models:/{model_id}")
    assert (version.tags, version.aliases, version.current_stage) == ({"a": "1"}, [], "None")
    assert len(version.digest) == 64
    assert client.register_logged_model(name, model_id).version == "2"
    assert (name, "2") in client.get_logged_model(model_id).registrations
    assert [item.version for item in client.search_model_versions(f"name = '{name}'")] == ["2", "1"]


def test_a_version_is_registered_with_its_aliases(client, name, model_id):
    client.register_logged_model(name, model_id)
    source = f"models:/{model_id}"
    assert client.create_model_version(name, source, aliases="prod").aliases == ["prod"]
    many = {f"t{number}": number for number in range(150)}  # more than fit into one request
    version = client.create_model_version(name, source, tags=many, aliases=["prod", "new"])
    assert (version.version, sorted(version.aliases), len(version.tags)) == ("3", ["new", "prod"], 150)
    assert client.get_model_version_by_alias(name, "prod").version == "3"
    with pytest.raises(InvalidArgumentError):
        client.create_model_version(name, source, aliases=["latest"])
    assert len(client.search_model_versions(f"name = '{name}'")) == 3


def test_a_version_needs_its_registered_model_unless_told_otherwise(client, name, model_id):
    with pytest.raises(NotFoundError):
        client.create_model_version(name, f"models:/{model_id}")
    client.create_registered_model(name)
    version = client.create_model_version(name, "ignored", model_id=model_id, description="First.")
    assert (version.description, version.model_id) == ("First.", model_id)


def test_an_unknown_source_registers_nothing(client, name):
    with pytest.raises(NotFoundError):
        client.register_logged_model(name, "m-" + "0" * 32)
    with pytest.raises(NotFoundError):
        client.get_registered_model(name)


def test_aliases_name_versions(client, name, model_id):
    for _ in range(2):
        client.register_logged_model(name, model_id)
    client.set_registered_model_alias(name, "champion", 1)
    assert client.get_model_version_by_alias(name, "champion").version == "1"
    client.set_registered_model_alias(name, "champion", "2", expected_version=1)
    assert client.get_model_version(name, 2).aliases == ["champion"]
    assert client.get_registered_model(name).aliases == {"champion": "2"}
    with pytest.raises(ConflictError):
        client.set_registered_model_alias(name, "champion", 1, expected_version=1)
    with pytest.raises(ConflictError):
        client.set_registered_model_alias(name, "champion", 1, expected_version=0)
    client.set_registered_model_alias(name, "challenger", 1, expected_version=0)
    client.delete_registered_model_alias(name, "champion", expected_version="2")
    with pytest.raises(NotFoundError) as info:
        client.get_model_version_by_alias(name, "champion")
    assert info.value.reason == "ALIAS_NOT_FOUND"
    assert client.get_model_version_by_alias(name, "latest").version == "2"


def test_stages_move_versions(client, name, model_id):
    for _ in range(3):
        client.register_logged_model(name, model_id)
    client.transition_model_version_stage(name, 1, "Production")
    moved = client.transition_model_version_stage(name, "2", "production", archive_existing_versions=True)
    assert moved.current_stage == "Production"
    assert client.get_model_version(name, 1).current_stage == "Archived"
    assert {(item.current_stage, item.version) for item in client.get_latest_versions(name)} == {
        ("Production", "2"),
        ("Archived", "1"),
        ("None", "3"),
    }
    assert [item.version for item in client.get_latest_versions(name, ["Production"])] == ["2"]
    client.set_model_version_tag(name, stage="Production", key="checked", value="yes")
    assert client.get_model_version(name, 2).tags == {"checked": "yes"}
    with pytest.raises(InvalidArgumentError, match="Staging"):
        client.transition_model_version_stage(name, 1, "Prod")


def test_versions_are_described_tagged_and_deleted(client, name, model_id):
    client.register_logged_model(name, model_id)
    client.update_model_version(name, 1, "The first.")
    client.set_model_version_tag(name, 1, "a", "b")
    client.set_model_version_tag(name, "1", "c", "d")
    client.delete_model_version_tag(name, 1, "a")
    version = client.get_model_version(name, "1")
    assert (version.description, version.tags) == ("The first.", {"c": "d"})
    assert name in version._repr_html_()
    assert name in client.get_registered_model(name)._repr_html_()
    client.delete_model_version(name, 1)
    with pytest.raises(NotFoundError) as info:
        client.get_model_version(name, 1)
    assert info.value.reason == "MODEL_VERSION_NOT_FOUND"
    with pytest.raises(InvalidArgumentError, match="either by its number or by its stage"):
        client.set_model_version_tag(name, key="a", value="b")
    with pytest.raises(InvalidArgumentError, match="needs a key"):
        client.set_model_version_tag(name, 1)


@pytest.mark.parametrize(
    "bad", ["", "a/b", "a:b", "50%", "a@b", "a\\b", "..", " a", "a ", "a.", "a\n", "x" * 251, "\u202ea", 3]
)
def test_bad_names_are_refused_before_anything_is_sent(client, bad):
    with pytest.raises(InvalidArgumentError, match="registered model name"):
        client.validate_registered_model_name(bad)


@pytest.mark.parametrize("good", ["a", "credit risk", "β-modell", "a.b", "x" * 250, "v1.0_final"])
def test_good_names_pass_here_and_at_the_server(client, good, name):
    assert client.validate_registered_model_name(good) == good
    client.create_registered_model(good)
    client.delete_registered_model(good)


@pytest.mark.parametrize("version", ["", "x", "0", "-1", 0, "1.0", "latest", "²", 2**63])
def test_versions_are_numbers(version):
    with pytest.raises(InvalidArgumentError, match="whole number from 1"):
        version_number(version)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("name LIKE '{}-A%'", ["A1"]),
        ("name ILIKE '%{}-a%'", ["A1", "a2"]),
        ("tags.team = 'ocr'", ["A1", "a2"]),
        ("tags.team ILIKE 'O%' AND tags.`odd key` = 'x'", ["a2"]),
        ("tags.`odd key` IS NULL", ["A1", "b"]),
        ("tags.team IS NOT NULL AND tags.team != 'ocr'", ["b"]),
        ("name != '{}-b'", ["A1", "a2"]),
    ],
)
def test_registered_models_are_found_by_name_and_tags(client, name, condition, expected):
    for short, tags in {"A1": {"team": "ocr"}, "a2": {"team": "ocr", "odd key": "x"}, "b": {"team": "Ops"}}.items():
        client.create_registered_model(f"{name}-{short}", tags)
    found = client.search_registered_models(f"name ILIKE '{name}%' AND {condition.format(name)}", order_by=["name"])
    assert [model.name.removeprefix(f"{name}-") for model in found] == expected


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("name = '{name}'", ["1", "2", "3"]),
        ("run_id = '{run_id}'", ["1", "2"]),
        ("run_id IN ('{run_id}', '{none}')", ["1", "2"]),
        ("source_path LIKE 'runs:/%'", ["1", "2"]),
        ("source_path ILIKE 'MODELS:/{name}/%'", ["3"]),
        ("version_number > 1", ["2", "3"]),
        ("version_number = 2 AND tags.k = 'v'", ["2"]),
        ("tags.k IS NULL", ["1", "3"]),
        ("tags.k ILIKE 'V%'", ["2"]),
    ],
)
def test_versions_are_found_by_what_they_are(client, name, run_id, condition, expected):
    client.log_text(run_id, "x", "model/MLmodel")
    for tags in ({}, {"k": "v"}):
        client.create_model_version(
            name, f"runs:/{run_id}/model", run_id, tags, create_registered_model=True, description="d"
        )
    other = client.create_run("0").info.run_id
    client.create_model_version(name, f"models:/{name}/1", other)
    text = condition.format(name=name, run_id=run_id, none="0" * 32)
    found = client.search_model_versions(f"name = '{name}' AND {text}", order_by=["version_number ASC"])
    assert [version.version for version in found] == expected
