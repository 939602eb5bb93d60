"""What a client does to promote versions, and to see how they came where they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from holdfast._calls import build, collect, tags_to_proto, texts
from holdfast._names import check_registered_model_name
from holdfast._registry import (
    expected_to_proto,
    model_version_from_proto,
    registry_change_from_proto,
    stage_to_proto,
    version_number,
)
from holdfast._registry_calls import RegistryCalls
from holdfast.entities import ModelVersion, PagedList, RegistryChange
from holdfast.errors import InvalidArgumentError
from holdfast.v1 import model_registry_service_pb2 as messages

HISTORY_PAGE_SIZE = 1_000
# What an alias must name: a version, or "absent".
Expected = str | int


class PromotionCalls(RegistryCalls):
    """What a client does to promote versions, and to see how they came where they are."""

    def set_alias(self, name: str, alias: str, version: str | int, *, expected: Expected | None = None) -> None:
        """Make an alias name a version.

        Args:
            name: The registered model.
            alias: The alias, which may name another version now.
            version: The version it shall name.
            expected: What it must name now: a version, or ``"absent"``; None for whatever it names.

        Raises:
            ConflictError: It names something else; the message says what, and ``metadata["version"]`` does.
        """
        self.set_registered_model_alias(name, alias, version, expected_version=expected)

    def delete_alias(self, name: str, alias: str, *, expected: Expected | None = None) -> None:
        """Remove an alias, if it names what is expected; one that is not there is passed over.

        Raises:
            ConflictError: It names something else than ``expected``; the message says what.
        """
        self.delete_registered_model_alias(name, alias, expected_version=expected)

    def promote(
        self,
        name: str,
        version: str | int,
        aliases: str | Sequence[str] = (),
        *,
        removed_aliases: str | Sequence[str] = (),
        tags: Mapping[str, Any] | None = None,
        deleted_tags: str | Sequence[str] = (),
        description: str | None = None,
        stage: str | None = None,
        archive_existing_versions: bool = False,
        expected: Mapping[str, Expected] | Expected | None = None,
    ) -> ModelVersion:
        """Move aliases to a version and change it, all at once or not at all; who races for the same alias cannot mix.

        Args:
            name: The registered model.
            version: The version to promote.
            aliases: Those that shall name it.
            removed_aliases: Those that shall name nothing, such as the one it had as a candidate.
            tags: Labels to set on it.
            deleted_tags: Keys of labels to remove from it.
            description: For people; None to leave it.
            stage: Where to move it; None to leave it.
            archive_existing_versions: Archive the others of that stage.
            expected: For each alias the version that it must name now, or ``"absent"``; those without one may name
                whatever they do. One value alone is meant for the only alias.

        Returns:
            The version after the change.

        Raises:
            ConflictError: An alias names something else than expected; nothing was changed.
        """
        moved, removed = texts(aliases), texts(removed_aliases)
        wanted = _expectations([*moved, *removed], expected)
        request = build(
            messages.PromoteModelVersionRequest,
            name=name,
            version=version_number(version),
            aliases=[_alias_change(alias, wanted) for alias in moved],
            removed_aliases=[_alias_change(alias, wanted) for alias in removed],
            description=description,
            archive_existing_versions=archive_existing_versions,
            tags=tags_to_proto(tags),
            deleted_tag_keys=texts(deleted_tags),
        )
        if stage is not None:
            request.stage = stage_to_proto(stage)
        return model_version_from_proto(self._change(self._registry.PromoteModelVersion, request).model_version)

    def copy_model_version(self, src_model_uri: str, dst_name: str) -> ModelVersion:
        """Register the files of a version under the next number of ``dst_name``, which is created when it is absent.

        Description, tags and run come along, aliases and the stage do not.

        Args:
            src_model_uri: ``models:/<name>/<version>``, ``models:/<name>@<alias>`` or ``models:/<name>/latest``.
            dst_name: The registered model that gets the copy.
        """
        request = build(
            messages.CopyModelVersionRequest, source=src_model_uri, name=check_registered_model_name(dst_name)
        )
        return model_version_from_proto(self._change(self._registry.CopyModelVersion, request).model_version)

    def get_model_version_download_uri(self, name: str, version: str | int) -> str:
        """Where the files of a version are read from, also when the run and the model it was made of are gone."""
        found = self.get_model_version(name, version)
        return f"models:/{found.name}/{found.version}"

    def get_model_history(
        self,
        name: str,
        version: str | int | None = None,
        max_results: int | None = None,
        page_token: str | None = None,
    ) -> PagedList[RegistryChange]:
        """Read what happened to a registered model and its versions, newest first; nothing is ever left out of it.

        Args:
            name: The registered model, also one that is deleted. What a model was through under an earlier name
                belongs to its new name too.
            version: Only changes of this version and of aliases that came to it or left it; None for all.
            max_results: None for all.
            page_token: ``token`` of the list before.

        Raises:
            NotFoundError: There never was a registered model of this name.
        """

        def fetch(page_size: int, token: str) -> tuple[Iterable[RegistryChange], str]:
            request = build(
                messages.ListRegistryHistoryRequest,
                name=name,
                version=0 if version is None else version_number(version),
                page_size=page_size,
                page_token=token,
            )
            page = self._channel.call(self._registry.ListRegistryHistory, request)
            return map(registry_change_from_proto, page.changes), page.next_page_token

        return collect(fetch, max_results=max_results, page_size=HISTORY_PAGE_SIZE, token=page_token)


def _expectations(
    aliases: Sequence[str], expected: Mapping[str, Expected] | Expected | None
) -> Mapping[str, Expected | None]:
    if expected is None:
        return {}
    if not isinstance(expected, Mapping):
        if len(aliases) != 1:
            raise InvalidArgumentError(
                "One value for expected goes with one alias; give a dictionary that has a value for each alias."
            )
        return {aliases[0]: expected}
    unknown = [alias for alias in expected if alias not in aliases]
    if unknown:
        raise InvalidArgumentError(f"expected names {unknown[0]!r}, which is neither moved nor removed.")
    return expected


def _alias_change(alias: str, expected: Mapping[str, Expected | None]) -> messages.AliasChange:
    return build(messages.AliasChange, alias=alias, expected_version=expected_to_proto(expected.get(alias)))
