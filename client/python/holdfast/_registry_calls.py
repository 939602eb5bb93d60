"""What a client does with registered models and their versions."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import grpc

from holdfast._calls import MAX_BATCH_TAGS, Calls, batches, build, collect, tags_to_proto, texts
from holdfast._checks import check_seconds, check_unicode
from holdfast._context import user_name
from holdfast._names import check_registered_model_name
from holdfast._registry import (
    expected_to_proto,
    model_version_from_proto,
    registered_model_from_proto,
    stage_names,
    stage_to_proto,
    version_number,
    version_tags_to_proto,
)
from holdfast.entities import ModelVersion, PagedList, RegisteredModel
from holdfast.errors import DeadlineExceededError, InvalidArgumentError
from holdfast.v1 import model_registry_service_pb2 as messages
from holdfast.v1.model_registry_service_pb2_grpc import ModelRegistryServiceStub

PAGE_SIZE = 1_000
AWAIT_SECONDS = 300

Response = TypeVar("Response")


class _RegistryMutation(Protocol):
    """A request that carries a request id and who makes it."""

    request_id: str
    user_id: str


RegistryMutation = TypeVar("RegistryMutation", bound=_RegistryMutation)


class RegistryCalls(Calls):
    """What a client does with registered models and their versions."""

    @staticmethod
    def validate_registered_model_name(name: str) -> str:
        """Return ``name`` if a registered model can have it, without asking the server.

        Raises:
            InvalidArgumentError: It cannot; the message states the rule.
        """
        return check_registered_model_name(name)

    def create_registered_model(
        self, name: str, tags: Mapping[str, Any] | None = None, description: str | None = None
    ) -> RegisteredModel:
        """Create a registered model without versions.

        Raises:
            AlreadyExistsError: The name is taken.
        """
        check_registered_model_name(name)
        request = build(
            messages.CreateRegisteredModelRequest, name=name, tags=tags_to_proto(tags), description=description or ""
        )
        return registered_model_from_proto(self._change(self._registry.CreateRegisteredModel, request).registered_model)

    def get_registered_model(self, name: str) -> RegisteredModel:
        """Read a registered model with its newest versions, tags and aliases."""
        request = build(messages.GetRegisteredModelRequest, name=name)
        return registered_model_from_proto(
            self._channel.call(self._registry.GetRegisteredModel, request).registered_model
        )

    def rename_registered_model(self, name: str, new_name: str) -> RegisteredModel:
        """Give a registered model another name; versions and aliases follow."""
        check_registered_model_name(new_name)
        return self._update_model(build(messages.UpdateRegisteredModelRequest, name=name, new_name=new_name))

    def update_registered_model(
        self, name: str, description: str | None = None, *, pickle_forbidden: bool | None = None
    ) -> RegisteredModel:
        """Describe a registered model, or say whether its versions may be unpickled.

        Args:
            name: Which one.
            description: None leaves it as it is.
            pickle_forbidden: With True, clients that load a version by the model's name refuse pickle, cloudpickle and
                code that the package brings, whoever logged it and whatever the call allows; what skops loads stays.
                None leaves it as it is.
        """
        request = build(messages.UpdateRegisteredModelRequest, name=name, description=description)
        if pickle_forbidden is not None:
            if not isinstance(pickle_forbidden, bool):
                raise InvalidArgumentError(f"pickle_forbidden is True or False, not {pickle_forbidden!r:.80}.")
            request.pickle_forbidden = pickle_forbidden
        return self._update_model(request)

    def set_registered_model_tag(self, name: str, key: str, value: Any) -> None:
        """Set a label of a registered model."""
        self._update_model(build(messages.UpdateRegisteredModelRequest, name=name, tags=tags_to_proto({key: value})))

    def delete_registered_model_tag(self, name: str, key: str) -> None:
        """Remove a label; one that is not there is passed over."""
        self._update_model(build(messages.UpdateRegisteredModelRequest, name=name, deleted_tag_keys=[key]))

    def delete_registered_model(self, name: str) -> None:
        """Delete a registered model with all versions and aliases, for good."""
        self._change(self._registry.DeleteRegisteredModel, build(messages.DeleteRegisteredModelRequest, name=name))

    def search_registered_models(
        self,
        filter_string: str | None = None,
        max_results: int | None = 100,
        order_by: Sequence[str] | None = None,
        page_token: str | None = None,
    ) -> PagedList[RegisteredModel]:
        """Find registered models, such as ``"name LIKE 'ocr-%' AND tags.team = 'b'"``; by name without an ordering.

        Args:
            filter_string: Conditions on ``name`` and ``tags.*``.
            max_results: None for all.
            order_by: Such as ``["last_updated_timestamp DESC"]``.
            page_token: ``token`` of the list before.
        """

        def fetch(page_size: int, token: str) -> tuple[Iterable[RegisteredModel], str]:
            request = build(
                messages.SearchRegisteredModelsRequest,
                filter=filter_string or "",
                order_by=texts(order_by),
                page_size=page_size,
                page_token=token,
            )
            page = self._channel.call(self._registry.SearchRegisteredModels, request)
            return map(registered_model_from_proto, page.registered_models), page.next_page_token

        return collect(fetch, max_results=max_results, page_size=PAGE_SIZE, token=page_token)

    def create_model_version(  # noqa: PLR0917 - MLflow's own signature
        self,
        name: str,
        source: str,
        run_id: str | None = None,
        tags: Mapping[str, Any] | None = None,
        run_link: str | None = None,
        description: str | None = None,
        *,
        await_creation_for: float | None = AWAIT_SECONDS,
        model_id: str | None = None,
        create_registered_model: bool = False,
        import_id: str | None = None,
        aliases: str | Sequence[str] = (),
    ) -> ModelVersion:
        """Register a snapshot of ``source`` under the next number; nothing it refers to can change afterwards.

        Args:
            name: The registered model.
            source: ``runs:/<run_id>/<path>``, ``models:/<model_id>`` or any other URI of a directory of artifacts.
            run_id: The run that made it; None for that of ``source``.
            tags: Any number of labels, at most 480 KiB together with the description.
            run_link: Where that run can be looked at, when that is another server.
            description: For people.
            await_creation_for: Seconds to wait until the version is READY; None or 0 to return at once.
            model_id: Register this logged model, whatever ``source`` says.
            create_registered_model: Create the registered model when it is absent, in the same transaction.
            import_id: Names what is imported: a version of this model that has the same is returned as it is.
            aliases: One or more that shall name the new version, from the same transaction on.

        Raises:
            NotFoundError: ``source`` or the registered model is not there.
            DeadlineExceededError: It was not READY in time.
        """
        check_seconds(await_creation_for, "await_creation_for")
        all_tags = version_tags_to_proto(tags, check_unicode(description or "", "description"))
        first_tags, *more_tags = batches(all_tags, MAX_BATCH_TAGS) or [[]]
        names = texts(aliases)
        request = build(
            messages.CreateModelVersionRequest,
            name=check_registered_model_name(name),
            source=f"models:/{model_id}" if model_id else source,
            description=description or "",
            tags=first_tags,
            create_registered_model=create_registered_model,
            run_id=run_id or "",
            run_link=run_link or "",
            import_id=import_id or "",
            # Whoever follows an alias is to see all tags.
            aliases=() if more_tags else names,
        )
        version = model_version_from_proto(self._change(self._registry.CreateModelVersion, request).model_version)
        for some_tags in more_tags:
            version = self._update_version(version.name, version.version, tags=some_tags)
        # Also where the server does not know the field.
        if not import_id and not set(names) <= set(version.aliases):
            for alias in names:
                self.set_registered_model_alias(name, alias, version.version)
            version = self.get_model_version(name, version.version)
        return self._await_ready(version, await_creation_for) if await_creation_for else version

    def register_logged_model(
        self,
        name: str,
        model_id: str,
        tags: Mapping[str, Any] | None = None,
        await_registration_for: float | None = AWAIT_SECONDS,
    ) -> ModelVersion:
        """Register a logged model under the next number of ``name``, which is created when absent."""
        return self.create_model_version(
            name,
            f"models:/{model_id}",
            tags=tags,
            await_creation_for=await_registration_for,
            create_registered_model=True,
        )

    def get_model_version(self, name: str, version: str | int) -> ModelVersion:
        """Read a version by its number."""
        return self._version(build(messages.GetModelVersionRequest, name=name, version=version_number(version)))

    def get_model_version_by_alias(self, name: str, alias: str) -> ModelVersion:
        """Read the version that an alias names; ``"latest"`` is the highest number."""
        if check_unicode(alias, "alias").lower() == "latest":
            return self._version(build(messages.GetModelVersionRequest, name=name, latest=True))
        return self._version(build(messages.GetModelVersionRequest, name=name, alias=alias))

    def get_latest_versions(self, name: str, stages: Sequence[str] | None = None) -> list[ModelVersion]:
        """Read the newest version of each stage, or of those in ``stages``.

        Stages are kept for compatibility; aliases are what to build on.
        """
        wanted = {stage_to_proto(stage) for stage in stages} if stages else None
        versions = self.get_registered_model(name).latest_versions
        return [version for version in versions if wanted is None or stage_to_proto(version.current_stage) in wanted]

    def get_model_version_stages(self, name: str, version: str | int) -> list[str]:
        """The stages that a version can be in, which are the same for all; MLflow's programs ask for them."""
        self.get_model_version(name, version)
        return stage_names()

    def update_model_version(self, name: str, version: str | int, description: str | None = None) -> ModelVersion:
        """Describe a version."""
        return self._update_version(name, version, description=description)

    def transition_model_version_stage(
        self, name: str, version: str | int, stage: str, archive_existing_versions: bool = False
    ) -> ModelVersion:
        """Move a version to ``"None"``, ``"Staging"``, ``"Production"`` or ``"Archived"``.

        With ``archive_existing_versions`` the others in that stage become archived in the same transaction. Stages are
        kept for compatibility; aliases are what to build on, and ``promote`` moves both together.
        """
        return self._update_version(
            name, version, stage=stage_to_proto(stage), archive_existing_versions=archive_existing_versions
        )

    def set_model_version_tag(
        self,
        name: str,
        version: str | int | None = None,
        key: str | None = None,
        value: Any = None,
        stage: str | None = None,
    ) -> None:
        """Set a label of a version, given by number or as the newest in a stage."""
        if key is None:
            raise InvalidArgumentError("set_model_version_tag needs a key.")
        self._update_version(name, self._number(name, version, stage), tags=tags_to_proto({key: value}))

    def delete_model_version_tag(
        self, name: str, version: str | int | None = None, key: str | None = None, stage: str | None = None
    ) -> None:
        """Remove a label of a version, given by number or as the newest in a stage; an absent one is passed over."""
        if key is None:
            raise InvalidArgumentError("delete_model_version_tag needs a key.")
        self._update_version(name, self._number(name, version, stage), deleted_tag_keys=[key])

    def delete_model_version(self, name: str, version: str | int) -> None:
        """Delete a version with the aliases that name it, for good. Its number is not used again."""
        request = build(messages.DeleteModelVersionRequest, name=name, version=version_number(version))
        self._change(self._registry.DeleteModelVersion, request)

    def search_model_versions(
        self,
        filter_string: str | None = None,
        max_results: int | None = 10_000,
        order_by: Sequence[str] | None = None,
        page_token: str | None = None,
    ) -> PagedList[ModelVersion]:
        """Find versions, such as ``"name = 'ocr' AND tags.validated = 'yes'"``; newest first without an ordering.

        Args:
            filter_string: Conditions on ``name``, ``version_number``, ``run_id``, ``source_path`` and ``tags.*``.
            max_results: None for all.
            order_by: Such as ``["version_number DESC"]``.
            page_token: ``token`` of the list before.
        """

        def fetch(page_size: int, token: str) -> tuple[Iterable[ModelVersion], str]:
            request = build(
                messages.SearchModelVersionsRequest,
                filter=filter_string or "",
                order_by=texts(order_by),
                page_size=page_size,
                page_token=token,
            )
            page = self._channel.call(self._registry.SearchModelVersions, request)
            return map(model_version_from_proto, page.model_versions), page.next_page_token

        return collect(fetch, max_results=max_results, page_size=PAGE_SIZE, token=page_token)

    def set_registered_model_alias(
        self, name: str, alias: str, version: str | int, *, expected_version: str | int | None = None
    ) -> None:
        """Make an alias name a version.

        Args:
            name: The registered model.
            alias: The alias, which may name another version now.
            version: The version it shall name.
            expected_version: The version it must name now, 0 or "absent" for none; None: whatever it names.

        Raises:
            ConflictError: The alias names another version than expected.
        """
        request = build(
            messages.SetAliasRequest,
            name=name,
            alias=alias,
            version=version_number(version),
            expected_version=expected_to_proto(expected_version),
        )
        self._change(self._registry.SetAlias, request)

    def delete_registered_model_alias(
        self, name: str, alias: str, *, expected_version: str | int | None = None
    ) -> None:
        """Remove an alias; one that is not there is passed over.

        Raises:
            ConflictError: The alias names another version than ``expected_version``.
        """
        request = build(
            messages.DeleteAliasRequest, name=name, alias=alias, expected_version=expected_to_proto(expected_version)
        )
        self._change(self._registry.DeleteAlias, request)

    def _change(
        self, method: grpc.UnaryUnaryMultiCallable[RegistryMutation, Response], request: RegistryMutation
    ) -> Response:
        """Send a change with who makes it, for the history."""
        request.user_id = user_name()
        return self._mutate(method, request)

    @property
    def _registry(self) -> ModelRegistryServiceStub:
        return self._channel.stub(ModelRegistryServiceStub)

    def _version(self, request: messages.GetModelVersionRequest) -> ModelVersion:
        return model_version_from_proto(self._channel.call(self._registry.GetModelVersion, request).model_version)

    def _update_model(self, request: messages.UpdateRegisteredModelRequest) -> RegisteredModel:
        return registered_model_from_proto(self._change(self._registry.UpdateRegisteredModel, request).registered_model)

    def _update_version(self, name: str, version: str | int, **changes: Any) -> ModelVersion:
        request = build(messages.UpdateModelVersionRequest, name=name, version=version_number(version), **changes)
        return model_version_from_proto(self._change(self._registry.UpdateModelVersion, request).model_version)

    def _number(self, name: str, version: str | int | None, stage: str | None) -> str | int:
        if (version is None) == (stage is None):
            raise InvalidArgumentError("Name a version either by its number or by its stage.")
        if version is not None:
            return version
        request = build(messages.GetModelVersionRequest, name=name, latest_in_stage=stage_to_proto(str(stage)))
        return self._version(request).version

    def _await_ready(self, version: ModelVersion, seconds: float) -> ModelVersion:
        give_up = time.monotonic() + seconds
        pause = 0.05
        while version.status == "PENDING_REGISTRATION":
            if time.monotonic() + pause > give_up:
                raise DeadlineExceededError(
                    f"{version.name} version {version.version} is still being registered after {seconds:g} s; "
                    f"look again with get_model_version."
                )
            time.sleep(pause)
            pause = min(2 * pause, 2.0)
            version = self.get_model_version(version.name, version.version)
        return version
