"""What is known about a logged or saved model."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from holdfast.errors import InvalidArgumentError, NotFoundError
from holdfast.models._files import is_remote
from holdfast.models._mlmodel import FILE_NAME, MLmodel
from holdfast.models._reader import open_package
from holdfast.models.signature import ModelSignature

__all__ = ["ModelInfo", "get_model_info", "model_info"]


@dataclass
class ModelInfo:
    """What is known about a model: its package and, when it was logged, its entry on the server.

    Attributes:
        model_uri: ``models:/<model_id>``; of a model that was only saved, its path.
        model_id: Id of the logged model, ``m-`` and 32 hex digits; None when it was only saved.
        model_uuid: The same id, or the random one of a model that was only saved.
        name: Name of the logged model.
        artifact_path: Where the server keeps the package.
        run_id: The run that logged it.
        registered_model_version: Version it was registered as by the call that logged it, or None.
        flavors: How to load it, by flavor.
        signature: What it takes and gives, or None.
        saved_input_example_info: Where and how the input example is saved, or None.
        metadata: What the user attached.
        params: Parameters of the logged model, as strings.
        metrics: Metrics of the logged model.
        tags: Tags of the logged model.
        step: Step of the run at which it was logged.
        creation_timestamp: Milliseconds since 1970, UTC.
        utc_time_created: The same moment as text, as MLmodel records it.
        model_type: What kind of model the user said it is.
        mlflow_version: Version of the package format.
    """

    model_uri: str
    model_id: str | None
    model_uuid: str | None
    name: str | None
    artifact_path: str | None
    run_id: str | None
    registered_model_version: str | None
    flavors: dict[str, Any]
    signature: ModelSignature | None
    saved_input_example_info: dict[str, Any] | None
    metadata: dict[str, Any] | None
    params: dict[str, str] | None
    metrics: list[Any] | None
    tags: dict[str, str] | None
    step: int | None
    creation_timestamp: int | None
    utc_time_created: str
    model_type: str | None
    mlflow_version: str | None

    @property
    def signature_dict(self) -> dict[str, str | None] | None:
        """The signature in its JSON form, or None."""
        return self.signature.to_dict() if self.signature else None


def model_info(
    mlmodel: MLmodel,
    *,
    uri: str,
    logged_model: Any = None,
    step: int | None = None,
    registered_model_version: str | None = None,
) -> ModelInfo:
    """Join what MLmodel says with the logged model, where there is one."""

    def logged(name: str) -> Any:
        return None if logged_model is None else getattr(logged_model, name)

    return ModelInfo(
        model_uri=f"models:/{mlmodel.model_id}" if mlmodel.model_id else uri,
        model_id=mlmodel.model_id,
        model_uuid=mlmodel.model_uuid,
        name=logged("name"),
        artifact_path=mlmodel.artifact_path,
        run_id=mlmodel.run_id,
        registered_model_version=registered_model_version,
        flavors=mlmodel.flavors,
        signature=mlmodel.signature,
        saved_input_example_info=mlmodel.saved_input_example_info,
        metadata=mlmodel.metadata,
        params=logged("params"),
        metrics=logged("metrics"),
        tags=logged("tags"),
        step=step,
        creation_timestamp=logged("creation_timestamp"),
        utc_time_created=mlmodel.utc_time_created,
        model_type=logged("model_type"),
        mlflow_version=mlmodel.mlflow_version,
    )


def get_model_info(model_uri: str | os.PathLike[str]) -> ModelInfo:
    """Read what is known about the model at ``model_uri``, without loading it.

    Args:
        model_uri: A local directory or any artifact URI, such as ``models:/<name>/<version>``.

    Raises:
        NotFoundError: There is no model.
        InvalidArgumentError: Its MLmodel is malformed.
    """
    if not is_remote(model_uri):
        with open_package(model_uri) as package:
            return model_info(package.mlmodel, uri=os.fspath(model_uri))
    import tempfile

    from holdfast import fluent

    client = fluent.current_client()
    uri = str(model_uri).rstrip("/")
    with tempfile.TemporaryDirectory(prefix="holdfast-model-") as directory:
        path = client.download_artifacts(artifact_uri=f"{uri}/{FILE_NAME}", dst_path=directory)
        mlmodel = MLmodel.load(path)
    logged_model = _logged_model(client, mlmodel.model_id)
    info = model_info(mlmodel, uri=uri, logged_model=logged_model)
    if logged_model is None:
        info.model_uri = uri  # models:/<model_id> leads nowhere on this server
    return info


def _logged_model(client: Any, model_id: str | None) -> Any:
    """The entry of ``model_id``; None when this server has none.

    The package may stand alone: its logged model is deleted, or MLflow wrote it and somebody logged the directory.
    """
    if not model_id:
        return None
    try:
        return client.get_logged_model(model_id)
    except (NotFoundError, InvalidArgumentError):  # the second for an id that is not of our form
        return None
