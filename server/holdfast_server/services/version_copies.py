"""Registering what another version pins."""

from __future__ import annotations

from holdfast_server.domain.names import check_registered_model_name
from holdfast_server.domain.registry import ModelVersion
from holdfast_server.domain.registry_history import Actor
from holdfast_server.services import registry
from holdfast_server.services.artifact_uris import find_version
from holdfast_server.services.ports.database import Transaction


def copy_version(tx: Transaction, actor: Actor, source_uri: str, name: str) -> ModelVersion:
    """Register the snapshot of a version under the next number of ``name``, which is created when it is absent.

    Description, tags and run come along; aliases and the stage say something about the place and stay.

    Raises:
        InvalidArgument: The URI names no version of a registered model.
        NotFound: MODEL_VERSION_NOT_FOUND.
    """
    check_registered_model_name(name)
    copied = find_version(tx, source_uri)
    if not tx.registry.exists(name):
        registry.add_registered_model(tx, actor, name)
    version = tx.change_registry(actor).create_version(
        name,
        source_uri=f"models:/{copied.name}/{copied.version}",
        source=copied.source,
        run_id=copied.run_id,
        description=copied.description,
        tags=copied.tags,
        run_link=copied.run_link,
    )
    return registry.get_version(tx, name, version)
