"""What is done to a registry store; each function is one scenario, and has registered models of its own.

Besides the store a scenario gets a function that makes a READY logged model of a run and returns both ids: versions are
registered from it.
"""

from __future__ import annotations

from mlflow.entities.model_registry import ModelVersionTag, RegisteredModelTag
from tests.interop.differential.scenario_parts import CODES


def registered_models(store, make_model):
    store.create_registered_model("rm a", [RegisteredModelTag("k", "1"), RegisteredModelTag("l", "2")], "described")
    store.create_registered_model("rm b")
    store.create_registered_model("rm a")
    store.create_registered_model("")
    store.create_registered_model("bad/name")
    store.create_registered_model("bad:name")
    store.get_registered_model("rm a")
    store.get_registered_model("rm none")
    store.update_registered_model("rm a", "other")
    store.update_registered_model("rm none", "other")
    store.set_registered_model_tag("rm a", RegisteredModelTag("k", "3"))
    store.set_registered_model_tag("rm a", RegisteredModelTag("long", "v" * 9_000))
    store.set_registered_model_tag("rm none", RegisteredModelTag("k", "3"))
    store.delete_registered_model_tag("rm a", "l")
    store.delete_registered_model_tag("rm a", "absent")
    store.delete_registered_model_tag("rm none", "l")
    store.rename_registered_model("rm a", "rm c")
    store.rename_registered_model("rm c", "rm b")
    store.rename_registered_model("rm none", "rm d")
    store.rename_registered_model("rm c", "")
    store.get_registered_model("rm c")
    store.get_registered_model("rm a")
    store.delete_registered_model("rm b")
    store.delete_registered_model("rm b")
    store.get_registered_model("rm b")


def search_registered_models(store, make_model):
    for number, team in enumerate(["ocr", "ocr", "nlp"]):
        store.create_registered_model(
            f"srm {number}", [RegisteredModelTag("team", team), RegisteredModelTag("a b", "1")]
        )
    store.create_registered_model("srm prompt", [RegisteredModelTag("mlflow.prompt.is_prompt", "true")])
    for condition in (
        "name LIKE 'srm %'",
        "name ILIKE 'SRM %'",
        "name = 'srm 1'",
        "name != 'srm 1' AND name LIKE 'srm %'",
        "name IN ('srm 0', 'srm 2')",
        "tags.team = 'ocr'",
        "tags.team = 'ocr' AND name = 'srm 1'",
        "tags.team != 'ocr' AND name LIKE 'srm %'",
        "tags.team LIKE 'o%'",
        "tags.`a b` = '1' AND tags.team = 'nlp'",
        "tag.team ILIKE 'OCR'",
        "attribute.name = 'srm 1'",
        "tags.`mlflow.prompt.is_prompt` = 'true'",
        "nonsense = 'x'",
        "name = srm",
        "name",
        "run_id = 'x'",
    ):
        store.search_registered_models(condition, 10, None, None)
    named = "name LIKE 'srm %'"
    # Times may be equal, or not: what decides then is in the same order.
    for order_by in (
        ["name DESC"],
        ["name"],
        ["last_updated_timestamp", "name"],
        ["timestamp DESC", "name DESC"],
        ["nonsense"],
    ):
        store.search_registered_models(named, 10, order_by, None)
    page = store.search_registered_models(named, 2, None, None)
    store.search_registered_models(named, 2, None, page.token)
    store.search_registered_models(named, 3, None, None)
    store.search_registered_models(named, 1_001, None, None)
    store.search_registered_models(named, 2, None, "not a token")


def versions(store, make_model):
    model_id, run_id = make_model()
    source = f"models:/{model_id}"
    store.create_registered_model("mv", None, None)
    store.create_model_version(
        "mv", source, run_id, [ModelVersionTag("k", "1")], "http://run", "described", model_id=model_id
    )
    store.create_model_version("mv", source, run_id)
    store.create_model_version("mv none", source, run_id)
    with store.differs(CODES):
        store.create_model_version("mv", f"models:/m-{'0' * 32}", run_id)
    store.get_model_version("mv", 1)
    store.get_model_version("mv", "2")
    store.get_model_version("mv", 3)
    store.get_model_version("mv", "x")
    store.get_model_version("mv none", 1)
    store.update_model_version("mv", 1, "other")
    store.update_model_version("mv", 9, "other")
    store.set_model_version_tag("mv", 1, ModelVersionTag("k", "2"))
    store.set_model_version_tag("mv", 1, ModelVersionTag("l", "3"))
    store.set_model_version_tag("mv", 9, ModelVersionTag("l", "3"))
    store.delete_model_version_tag("mv", 1, "l")
    store.delete_model_version_tag("mv", 1, "absent")
    store.delete_model_version_tag("mv", 9, "l")
    store.get_registered_model("mv")
    store.rename_registered_model("mv", "mv renamed")
    store.get_model_version("mv renamed", 1)
    store.get_model_version("mv", 1)
    store.delete_model_version("mv renamed", 2)
    store.delete_model_version("mv renamed", 2)
    store.get_model_version("mv renamed", 2)
    store.create_model_version("mv renamed", source, run_id)
    store.get_registered_model("mv renamed")
    store.delete_registered_model("mv renamed")
    store.get_model_version("mv renamed", 1)
    store.create_registered_model("mv renamed")
    with store.differs("Version numbers are not used again after a registered model was deleted."):
        store.create_model_version("mv renamed", source, run_id)
    with store.differs("A version is read from where it is pinned, not from where it came from."):
        store.get_model_version_download_uri("mv renamed", 1)
    with store.differs("A version is made of artifacts that are on the server, given as a runs:/ or models:/ URI."):
        store.create_model_version("mv renamed", "s3://bucket/model", run_id)


def stages(store, make_model):
    model_id, run_id = make_model()
    store.create_registered_model("stages")
    for _ in range(4):
        store.create_model_version("stages", f"models:/{model_id}", run_id)
    store.get_latest_versions("stages")
    store.transition_model_version_stage("stages", 1, "Production", False)
    store.transition_model_version_stage("stages", 2, "production", False)
    store.transition_model_version_stage("stages", 3, "Staging", False)
    store.get_latest_versions("stages")
    store.get_latest_versions("stages", ["Production"])
    store.get_latest_versions("stages", ["None", "staging"])
    store.get_latest_versions("stages", [])
    store.get_latest_versions("stages", ["Nonsense"])
    store.get_latest_versions("no stages")
    store.transition_model_version_stage("stages", 4, "Production", True)
    for version in (1, 2, 4):
        store.get_model_version("stages", version)
    store.transition_model_version_stage("stages", 4, "Archived", False)
    with store.differs(CODES):
        store.transition_model_version_stage("stages", 4, "Archived", True)
    store.transition_model_version_stage("stages", 4, "Nonsense", False)
    store.transition_model_version_stage("stages", 9, "Production", False)
    store.get_registered_model("stages")


def aliases(store, make_model):
    model_id, run_id = make_model()
    store.create_registered_model("aliases")
    for _ in range(2):
        store.create_model_version("aliases", f"models:/{model_id}", run_id)
    store.set_registered_model_alias("aliases", "prod", 1)
    store.set_registered_model_alias("aliases", "best-one", 1)
    store.get_model_version_by_alias("aliases", "prod")
    store.set_registered_model_alias("aliases", "prod", "2")
    store.get_model_version_by_alias("aliases", "prod")
    store.get_model_version_by_alias("aliases", "none")
    store.get_model_version_by_alias("aliases none", "prod")
    store.get_model_version_by_alias("aliases", "latest")
    store.get_registered_model("aliases")
    store.get_model_version("aliases", 1)
    for alias in ("latest", "v1", "bad alias", "", "x" * 256):
        store.set_registered_model_alias("aliases", alias, 1)
    store.set_registered_model_alias("aliases", "prod", 9)
    store.set_registered_model_alias("aliases none", "prod", 1)
    store.delete_registered_model_alias("aliases", "best-one")
    store.delete_registered_model_alias("aliases", "none")
    store.delete_registered_model_alias("aliases none", "none")
    store.delete_model_version("aliases", 2)
    store.get_model_version_by_alias("aliases", "prod")
    store.get_registered_model("aliases")


def search_versions(store, make_model):
    model_id, run_id = make_model()
    source = f"models:/{model_id}"
    for name in ("smv a", "smv b"):
        store.create_registered_model(name)
        for number in (1, 2, 3):
            tags = [ModelVersionTag("ok", "yes" if number == 2 else "no")]
            store.create_model_version(name, source, run_id if number < 3 else None, tags)
    store.delete_model_version("smv b", 1)
    ordered = ["name ASC", "version_number ASC"]
    for condition in (
        "name = 'smv a'",
        "name LIKE 'smv %'",
        "name ILIKE 'SMV %'",
        "name != 'smv a' AND name LIKE 'smv %'",
        "name IN ('smv a', 'smv b')",
        f"run_id = '{run_id}'",
        f"run_id IN ('{run_id}') AND name = 'smv b'",
        f"source_path = '{source}'",
        "source_path LIKE 'models:/%' AND name = 'smv a'",
        "version_number = 2 AND name LIKE 'smv %'",
        "version_number > 1 AND name LIKE 'smv %'",
        "name = 'smv a' AND version_number <= 2",
        "name LIKE 'smv %' AND tags.ok = 'yes'",
        "name LIKE 'smv %' AND tags.ok != 'yes'",
        "name LIKE 'smv %' AND tags.ok LIKE 'n%'",
        "version_number = 'x'",
        "nonsense = 'x'",
        "name = smv",
    ):
        store.search_model_versions(condition, 10, ordered, None)
    named = "name LIKE 'smv %'"
    for order_by in (
        ["name DESC", "version_number"],
        ["version_number DESC", "name"],
        ["creation_timestamp", "name", "version_number"],
        ["last_updated_timestamp DESC", "name DESC", "version_number DESC"],
        ["nonsense"],
    ):
        store.search_model_versions(named, 10, order_by, None)
    page = store.search_model_versions(named, 3, ordered, None)
    store.search_model_versions(named, 3, ordered, page.token)
    store.search_model_versions(named, 5, ordered, None)
    store.search_model_versions(named, 200_001, ordered, None)
    store.search_model_versions(named, 3, ordered, "not a token")


def copies(store, make_model):
    model_id, run_id = make_model()
    store.create_registered_model("copied")
    made = store.create_model_version(
        "copied",
        f"models:/{model_id}",
        run_id,
        [ModelVersionTag("k", "1")],
        "http://run",
        "described",
        model_id=model_id,
    )
    store.set_registered_model_alias("copied", "prod", 1)
    store.copy_model_version(made, "copy")
    store.copy_model_version(made, "copy")
    store.copy_model_version(made, "copied")
    store.copy_model_version(made, "bad/name")
    store.get_model_version("copy", 1)
    store.get_registered_model("copy")


SCENARIOS = (registered_models, search_registered_models, versions, stages, aliases, search_versions, copies)
