"""MLflow's model registry store on a Holdfast server."""

from __future__ import annotations

from mlflow.exceptions import MlflowException
from mlflow.prompt.constants import IS_PROMPT_TAG_KEY
from mlflow.store.entities.paged_list import PagedList
from mlflow.store.model_registry import (
    SEARCH_MODEL_VERSION_MAX_RESULTS_DEFAULT,
    SEARCH_MODEL_VERSION_MAX_RESULTS_THRESHOLD,
    SEARCH_REGISTERED_MODEL_MAX_RESULTS_DEFAULT,
    SEARCH_REGISTERED_MODEL_MAX_RESULTS_THRESHOLD,
)
from mlflow.store.model_registry.abstract_store import AbstractStore
from tests.interop.mlflow_store import entities
from tests.interop.mlflow_store.errors import translated
from tests.interop.mlflow_store.tracking_store import by_key

from holdfast import Client


def check_max_results(max_results: int, most: int) -> None:
    if not 1 <= max_results <= most:
        raise MlflowException.invalid_parameter_value(f"max_results must be 1 to {most}.")


def without_prompts(filter_string: str | None) -> str:
    """MLflow keeps prompts among registered models, and tells of them only when they are asked for."""
    wanted = filter_string or ""
    if IS_PROMPT_TAG_KEY in wanted:
        return wanted
    return " AND ".join(filter(None, [wanted, f"tags.`{IS_PROMPT_TAG_KEY}` IS NULL"]))


class HoldfastRegistryStore(AbstractStore):
    """What MLflow's clients and server need to keep registered models in Holdfast."""

    def __init__(self, store_uri: str, tracking_uri: str | None = None) -> None:
        super().__init__(store_uri, tracking_uri)
        self.client = Client(store_uri, strict=True)

    # Registered models

    def create_registered_model(self, name, tags=None, description=None, deployment_job_id=None):
        with translated():
            return entities.registered_model(self.client.create_registered_model(name, by_key(tags), description))

    def get_registered_model(self, name):
        with translated():
            return entities.registered_model(self.client.get_registered_model(name))

    def update_registered_model(self, name, description, deployment_job_id=None):
        with translated():
            return entities.registered_model(self.client.update_registered_model(name, description or ""))

    def rename_registered_model(self, name, new_name):
        with translated():
            return entities.registered_model(self.client.rename_registered_model(name, new_name))

    def delete_registered_model(self, name):
        with translated():
            self.client.delete_registered_model(name)

    def search_registered_models(
        self,
        filter_string=None,
        max_results=SEARCH_REGISTERED_MODEL_MAX_RESULTS_DEFAULT,
        order_by=None,
        page_token=None,
    ):
        check_max_results(max_results, SEARCH_REGISTERED_MODEL_MAX_RESULTS_THRESHOLD)
        with translated():
            found = self.client.search_registered_models(
                without_prompts(filter_string), max_results, order_by, page_token
            )
        return PagedList(map(entities.registered_model, found), found.token)

    def set_registered_model_tag(self, name, tag):
        with translated():
            self.client.set_registered_model_tag(name, tag.key, tag.value)

    def delete_registered_model_tag(self, name, key):
        with translated():
            self.client.delete_registered_model_tag(name, key)

    # Versions

    def create_model_version(
        self,
        name,
        source,
        run_id=None,
        tags=None,
        run_link=None,
        description=None,
        local_model_path=None,
        model_id=None,
    ):
        with translated():
            made = self.client.create_model_version(
                name,
                source,
                run_id,
                by_key(tags),
                run_link=run_link,
                description=description,
                await_creation_for=None,
                model_id=model_id,
            )
            return entities.model_version(made)

    def get_model_version(self, name, version):
        with translated():
            return entities.model_version(self.client.get_model_version(name, version))

    def get_model_version_by_alias(self, name, alias):
        with translated():
            return entities.model_version(self.client.get_model_version_by_alias(name, alias))

    def get_model_version_download_uri(self, name, version):
        with translated():
            found = self.client.get_model_version(name, version)
        return f"models:/{found.name}/{found.version}"

    def get_latest_versions(self, name, stages=None):
        with translated():
            return [entities.model_version(found) for found in self.client.get_latest_versions(name, stages)]

    def update_model_version(self, name, version, description=None):
        with translated():
            return entities.model_version(self.client.update_model_version(name, version, description or ""))

    def transition_model_version_stage(self, name, version, stage, archive_existing_versions):
        with translated():
            return entities.model_version(
                self.client.transition_model_version_stage(name, version, stage, archive_existing_versions)
            )

    def delete_model_version(self, name, version):
        with translated():
            self.client.delete_model_version(name, version)

    def search_model_versions(
        self,
        filter_string=None,
        max_results=SEARCH_MODEL_VERSION_MAX_RESULTS_DEFAULT,
        order_by=None,
        page_token=None,
    ):
        check_max_results(max_results, SEARCH_MODEL_VERSION_MAX_RESULTS_THRESHOLD)
        with translated():
            found = self.client.search_model_versions(without_prompts(filter_string), max_results, order_by, page_token)
        return PagedList(map(entities.model_version, found), found.token)

    def copy_model_version(self, src_mv, dst_name):
        with translated():
            return entities.model_version(
                self.client.copy_model_version(f"models:/{src_mv.name}/{src_mv.version}", dst_name)
            )

    def set_model_version_tag(self, name, version, tag):
        with translated():
            self.client.set_model_version_tag(name, version, tag.key, tag.value)

    def delete_model_version_tag(self, name, version, key):
        with translated():
            self.client.delete_model_version_tag(name, version, key)

    # Aliases

    def set_registered_model_alias(self, name, alias, version):
        with translated():
            self.client.set_registered_model_alias(name, alias, version)

    def delete_registered_model_alias(self, name, alias):
        with translated():
            self.client.delete_registered_model_alias(name, alias)
