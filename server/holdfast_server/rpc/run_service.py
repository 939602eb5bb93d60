"""To be written."""

from __future__ import annotations

from holdfast.v1 import run_service_pb2_grpc as service_grpc
from holdfast_server.services.ports.database import Database


class RunServicer(service_grpc.RunServiceServicer):
    """To be written."""

    def __init__(self, database: Database) -> None:
        self._database = database
