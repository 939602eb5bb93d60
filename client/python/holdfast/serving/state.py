"""What one worker serves, and whether it is ready to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from holdfast.serving.config import ServingConfig
from holdfast.serving.metrics import ServingMetrics
from holdfast.serving.model import ServedModel
from holdfast.serving.predicting import Predictor

__all__ = ["Following", "ServerState"]


class Following(Protocol):
    """What is to be known about the watch of an alias."""

    @property
    def alive(self) -> bool:
        """Whether changes of the alias are still learned of."""
        ...

    def details(self) -> dict[str, Any]:
        """How it stands, for people."""
        ...


@dataclass(slots=True)
class ServerState:
    """The parts of one worker.

    Attributes:
        config: Its settings.
        version: Of Holdfast.
        predictor: Answers with the model.
        metrics: Counts.
        following: Watches the alias; None without ``--follow``.
        stopping: Whether the process is about to end.
    """

    config: ServingConfig
    version: str
    predictor: Predictor
    metrics: ServingMetrics
    following: Following | None = None
    stopping: bool = False

    @property
    def model(self) -> ServedModel:
        """What answers now."""
        return self.predictor.model

    def readiness(self) -> tuple[bool, dict[str, Any]]:
        """Whether requests should be sent here, and why."""
        model = self.model
        followed = self.following.details() if self.following is not None else None
        is_ready = not self.stopping and self.predictor.is_whole and (self.following is None or self.following.alive)
        return is_ready, {
            "ready": is_ready,
            "stopping": self.stopping,
            "predicting_threads": self.predictor.threads_alive,
            "model": {
                "uri": model.identity.uri,
                "name": model.identity.name or None,
                "version": model.identity.version or None,
                "model_id": model.model_id,
            },
            "following": followed,
        }
