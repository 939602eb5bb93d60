"""Every setting of a model server: one frozen dataclass, filled by the command line."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

__all__ = ["MIB", "ServingConfig"]

MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingConfig:
    """What a model server needs to know.

    Attributes:
        model_uri: The model: any artifact URI, or a local directory.
        tracking_uri: The Holdfast server that has it; None: what the environment names.
        host: Address to listen on.
        port: Of HTTP; 0 picks a free one.
        grpc_port: Of gRPC; 0 picks a free one, None: no gRPC.
        follow: Serve what the alias names, whenever it names something else.
        load_timeout: Seconds within which a version that ``follow`` takes over is loaded.
        workers: Processes that answer.
        threads: Threads of each process that predict.
        batch_size: Requests that may be predicted together; 1: each on its own.
        batch_wait: Seconds that an incomplete batch waits for more.
        max_request_size: Bytes of a request's body or message.
        max_waiting: Requests of each process that may wait for a thread.
        request_timeout: Seconds within which a request is answered.
        drain_timeout: Seconds that requests in progress get when the server stops.
        log_level: The least that is logged.
    """

    model_uri: str
    tracking_uri: str | None = None
    host: str = "127.0.0.1"
    port: int = 5000
    grpc_port: int | None = 5001
    follow: bool = False
    load_timeout: float = 600.0
    workers: int = 1
    threads: int = 2
    batch_size: int = 1
    batch_wait: float = 0.0
    max_request_size: int = 16 * MIB
    max_waiting: int = 1000
    request_timeout: float = 60.0
    drain_timeout: float = 10.0
    log_level: str = "info"

    def to_json(self) -> str:
        """As text, for a worker's command line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> ServingConfig:
        """Read what `to_json` wrote."""
        return cls(**json.loads(text))
