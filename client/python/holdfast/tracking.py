"""MLflow's names for connecting and for its client."""

from __future__ import annotations

import os

from holdfast._client import Client
from holdfast._connection import current_client, get_tracking_uri, set_tracking_uri
from holdfast.errors import InvalidArgumentError

__all__ = ["MlflowClient", "get_tracking_uri", "set_tracking_uri"]


class MlflowClient(Client):
    """``holdfast.Client`` as MLflow's programs make it: without a URI, of the server that ``set_tracking_uri`` chose.

    Args:
        tracking_uri: As ``holdfast.connect`` takes it; None for what was chosen, or else as for ``connect``.
        registry_uri: The registry is where the tracking is, so that this is None or the same.

    Raises:
        InvalidArgumentError: ``tracking_uri`` names no server, or ``registry_uri`` another one.
    """

    def __init__(
        self, tracking_uri: str | os.PathLike[str] | None = None, registry_uri: str | os.PathLike[str] | None = None
    ) -> None:
        if tracking_uri is None:
            chosen = current_client()
            super().__init__(chosen.channel.target, strict=chosen.strict)
        else:
            super().__init__(tracking_uri)
        if registry_uri is not None:
            from holdfast._config import parse_target

            if parse_target(registry_uri).uri != self.tracking_uri:
                self.close()
                raise InvalidArgumentError(
                    f"The registry is where the tracking is: leave registry_uri out, or make it {self.tracking_uri}."
                )
