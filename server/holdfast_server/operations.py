"""What serves those who operate the server: metrics and probes over HTTP. A part of the composition root."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import os
import platform
import shutil
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from holdfast_server.config import ServerConfig
from holdfast_server.errors import DomainError, FailedPrecondition
from holdfast_server.services.orphans import count_orphans
from holdfast_server.services.readiness import Readiness
from holdfast_server.services.store_access import StoreAccess
from holdfast_server.settings import STANDARD_ENDPOINTS

if TYPE_CHECKING:
    from holdfast_server.rpc.byte_budget import ByteBudget
    from holdfast_server.telemetry.http import OperationsServer, Page
    from holdfast_server.telemetry.metrics import ServerMetrics
    from holdfast_server.telemetry.tracing import Tracing

logger = logging.getLogger(__name__)

ORPHANS_SECONDS = 3600
_NO_TRACES = (
    "Traces need OpenTelemetry: `pip install 'holdfast[server,otel]'`; OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf needs "
    "opentelemetry-exporter-otlp-proto-http, too."
)
# Seconds in which the event loop has to answer for the process to count as alive.
ALIVE_SECONDS = 5.0


def metrics_for(config: ServerConfig) -> ServerMetrics | None:
    """The metrics of a server, when anybody is to read them; otherwise nothing of theirs is imported.

    Raises:
        FailedPrecondition: The library for them is not installed.
    """
    if not config.metrics_address:
        return None
    try:
        from holdfast_server.telemetry.metrics import ServerMetrics
    except ImportError as error:
        raise FailedPrecondition(
            "Metrics need prometheus-client: `pip install 'holdfast[server]'`, or start without --metrics-address."
        ) from error
    return ServerMetrics()


def tracing_for(config: ServerConfig) -> Tracing | None:
    """What traces calls, when a collector is named; otherwise nothing of OpenTelemetry is imported.

    Raises:
        FailedPrecondition: The library is not installed.
    """
    if not config.trace_endpoint:
        return None
    try:
        from holdfast_server.telemetry.tracing import Tracing

        return Tracing(config.trace_endpoint)
    except ImportError as error:
        if config.trace_endpoint in {os.environ.get(name) for name in STANDARD_ENDPOINTS}:
            # They may be meant for other programs of this host.
            logger.warning("calls are not traced: %s", _NO_TRACES)
            return None
        raise FailedPrecondition(_NO_TRACES) from error


class Operations:
    """The HTTP port, and what is measured at an interval. Start it once the server serves."""

    def __init__(self, config: ServerConfig, metrics: ServerMetrics, readiness: Readiness, access: StoreAccess) -> None:
        self._config, self._metrics, self._readiness, self._access = config, metrics, readiness, access
        self._http: OperationsServer | None = None
        self._counting: asyncio.Task[None] | None = None
        self._stopping = False

    @property
    def port(self) -> int:
        """The port that is really bound; 0 before ``start``."""
        return self._http.port if self._http is not None else 0

    def show(
        self,
        *,
        queues: Mapping[str, Callable[[], float]],
        budgets: Mapping[str, ByteBudget],
        refusals: Mapping[str, int],
        sqlite_version: str,
    ) -> None:
        """Make metrics of what is there to be read."""
        metrics, folder = self._metrics, self._config.data_dir
        metrics.runs(
            version=version("holdfast"),
            python=platform.python_version(),
            grpcio=version("grpcio"),
            sqlite=sqlite_version,
            store="s3" if self._config.store else "local",
        )
        metrics.shows("holdfast_queue_depth", "Pieces of work that wait for a thread.", "queue", queues)
        metrics.shows(
            "holdfast_byte_budget_waiters",
            "Streams that wait for memory.",
            "budget",
            {name: lambda b=budget: b.waiters for name, budget in budgets.items()},  # type: ignore[misc]
        )
        metrics.shows(
            "holdfast_byte_budget_used_bytes",
            "Bytes that streams hold in memory.",
            "budget",
            {name: lambda b=budget: b.used for name, budget in budgets.items()},  # type: ignore[misc]
        )
        metrics.shows(
            "holdfast_byte_budget_limit_bytes",
            "Bytes that they may hold.",
            "budget",
            {name: lambda b=budget: b.limit for name, budget in budgets.items()},  # type: ignore[misc]
        )
        metrics.shows(
            "holdfast_refused_calls",
            "Calls that were told to come back, since the start.",
            "limit",
            {name: lambda n=name: refusals[n] for name in refusals},  # type: ignore[misc]
        )
        metrics.shows(
            "holdfast_ready",
            "1 when the last probe found that it works, else 0.",
            "probe",
            {name: lambda n=name: self._is_fine(n) for name in ("database", "store")},  # type: ignore[misc]
        )
        metrics.shows_one(
            "holdfast_database_size_bytes", "Bytes of the database's files.", lambda: _size_of_database(folder)
        )
        metrics.shows_one(
            "holdfast_data_free_bytes",
            "Bytes that are free where the data directory is.",
            lambda: shutil.disk_usage(folder).free,
        )

    async def start(self) -> None:
        """Bind the port and answer.

        Raises:
            OSError: It cannot be bound.
        """
        from holdfast_server.telemetry.http import OperationsServer

        host, _, port = self._config.metrics_address.rpartition(":")
        loop = asyncio.get_running_loop()
        pages: dict[str, Callable[[str], Page]] = {
            "/metrics": self._metrics_page,
            "/livez": lambda _: _livez_page(loop),
            "/readyz": lambda _: self._readyz_page(),
        }
        try:
            self._http = OperationsServer(host.strip("[]"), int(port), pages)
        except OSError as error:
            raise OSError(f"cannot bind {self._config.metrics_address} for metrics: {error.strerror}") from error
        self._http.start()
        self._counting = asyncio.create_task(_repeated(self._count_orphans))

    def drain(self) -> None:
        """Tell that no new calls are wanted, and go on answering."""
        self._stopping = True

    async def stop(self) -> None:
        """Answer nothing more."""
        if self._counting is not None:
            self._counting.cancel()
        if self._http is not None:
            await asyncio.get_running_loop().run_in_executor(None, self._http.close)

    def _is_fine(self, probe: str) -> int:
        finding = self._readiness.findings.get(probe)
        return int(finding is not None and finding.is_fine)

    def _metrics_page(self, accept: str) -> Page:
        from holdfast_server.telemetry.http import Page

        content_type, body = self._metrics.page(accept)
        return Page(HTTPStatus.OK, content_type, body)

    def _readyz_page(self) -> Page:
        from holdfast_server.telemetry.http import text_page

        findings = self._readiness.findings
        lines = [f"{name}: {finding.problem or 'ok'}" for name, finding in findings.items()]
        if self._stopping:
            lines.append("server: it is stopping")
        ready = bool(findings) and not self._stopping and all(finding.is_fine for finding in findings.values())
        status = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
        return text_page("\n".join(lines or ["server: it has not been probed yet"]), status)

    async def _count_orphans(self) -> None:
        self._metrics.orphans(*await count_orphans(self._access))


def _livez_page(loop: asyncio.AbstractEventLoop) -> Page:
    from holdfast_server.telemetry.http import text_page

    answer = asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop)
    try:
        answer.result(ALIVE_SECONDS)
    except concurrent.futures.TimeoutError:
        return text_page(f"The server has not answered itself for {ALIVE_SECONDS:g} s.", HTTPStatus.SERVICE_UNAVAILABLE)
    return text_page("ok")


def _size_of_database(folder: Path) -> int:
    total = 0
    for suffix in ("", "-wal", "-shm"):
        try:
            total += os.stat(folder / f"holdfast.db{suffix}").st_size  # noqa: PTH116 - a name, not a path to work with
        except OSError:
            continue
    return total


async def _repeated(work: Callable[[], Awaitable[None]]) -> None:
    """Do something every hour; what prevents it now may be gone then."""
    while True:
        try:
            await work()
        except DomainError as error:
            logger.warning("orphans were not counted: %s", error.message)
        except Exception:
            logger.exception("orphans were not counted; it is tried again in an hour")
        await asyncio.sleep(ORPHANS_SECONDS)
