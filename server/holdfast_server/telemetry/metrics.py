"""What a server counts and measures, for Prometheus. docs/observability.md explains each metric."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import choose_encoder

from holdfast_server.calls import Call, End

_CALL_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_SQL_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_STORE_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

Read = Callable[[], float]


class ServerMetrics:
    """All metrics of one server. Each observing method takes microseconds; nothing is computed before it is asked for.

    It is a ``CallObserver``, ``SizeObserver``, ``DatabaseObserver``, ``StoreObserver`` and ``BlockObserver``.
    """

    def __init__(self) -> None:
        # A third of all series, which nobody reads.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        self._calls = Histogram(
            "holdfast_rpc_duration_seconds",
            "Seconds from the begin of a call to its end.",
            ["method", "code"],
            buckets=_CALL_SECONDS,
            registry=registry,
        )
        self._open = Gauge("holdfast_rpc_open_streams", "Streaming calls that are open.", ["method"], registry=registry)
        self._came = Counter(
            "holdfast_rpc_received_bytes", "Bytes of the messages that clients sent.", ["method"], registry=registry
        )
        self._sent = Counter(
            "holdfast_rpc_sent_bytes", "Bytes of the messages that clients were sent.", ["method"], registry=registry
        )
        self._blocks = {
            name: (
                Counter(f"holdfast_blocks_{name}", f"Blocks that {text}.", registry=registry),
                Counter(f"holdfast_block_{name}_bytes", f"Bytes of blocks that {text}.", registry=registry),
            )
            for name, text in {
                "received": "came with their bytes and were stored",
                "redundant": "came although they were here already",
                "saved": "clients asked about and did not have to send, since they were here",
                "read": "were read and verified for downloads",
            }.items()
        }
        sql = Histogram(
            "holdfast_sql_transaction_seconds",
            "Seconds that callers waited for a transaction of the database, in its queue and for the disk.",
            ["kind"],
            buckets=_SQL_SECONDS,
            registry=registry,
        )
        self._transactions = {kind: sql.labels(kind) for kind in ("read", "write")}
        self._store = Histogram(
            "holdfast_store_operation_seconds",
            "Seconds that operations of the block store took.",
            ["operation", "outcome"],
            buckets=_STORE_SECONDS,
            registry=registry,
        )
        self._moved = {
            "put": Counter("holdfast_store_written_bytes", "Bytes written to the block store.", registry=registry),
            "get": Counter("holdfast_store_read_bytes", "Bytes read from the block store.", registry=registry),
        }
        self._orphans = Gauge("holdfast_store_orphans", "Objects of the store that no row knows.", registry=registry)
        self._orphan_bytes = Gauge("holdfast_store_orphan_bytes", "Bytes of these objects.", registry=registry)
        self._counted = Gauge(
            "holdfast_store_orphans_counted_timestamp_seconds", "When they were counted last.", registry=registry
        )
        self._build = Info("holdfast_build", "What runs here.", registry=registry)
        # Looking a child up by its labels takes as long as all the rest.
        self._call_children: dict[tuple[str, str], Histogram] = {}
        self._size_children: dict[str, tuple[Callable[[int], None], Callable[[int], None]]] = {}
        self._store_children: dict[tuple[str, str], Histogram] = {}

    def runs(self, **versions: str) -> None:
        """Tell what runs here."""
        self._build.info(versions)

    def shows(self, name: str, help_text: str, label: str, reads: Mapping[str, Read]) -> None:
        """Show values that are read when they are asked for, by the values of a label."""
        gauge = Gauge(name, help_text, [label], registry=self.registry)
        for value, read in reads.items():
            gauge.labels(value).set_function(read)

    def shows_one(self, name: str, help_text: str, read: Read) -> None:
        """Show a value that is read when it is asked for."""
        Gauge(name, help_text, registry=self.registry).set_function(read)

    def begin(self, call: Call) -> End:
        """Measure a call."""
        began, method = time.perf_counter(), call.method
        if call.is_stream:
            self._open.labels(method).inc()

        def end(code: str) -> None:
            seconds = time.perf_counter() - began
            child = self._call_children.get((method, code))
            if child is None:
                child = self._call_children[method, code] = self._calls.labels(method, code)
            child.observe(seconds)
            if call.is_stream:
                self._open.labels(method).dec()

        return end

    def sizes(self, method: str) -> tuple[Callable[[int], None], Callable[[int], None]]:
        """Count the bytes of a method's messages."""
        counts = self._size_children.get(method)
        if counts is None:
            counts = self._size_children[method] = self._came.labels(method).inc, self._sent.labels(method).inc
        return counts

    def transacted(self, kind: str, seconds: float) -> None:
        """Measure a transaction."""
        self._transactions[kind].observe(seconds)

    def stored(self, operation: str, outcome: str, seconds: float, size: int) -> None:
        """Measure an operation of the store."""
        child = self._store_children.get((operation, outcome))
        if child is None:
            child = self._store_children[operation, outcome] = self._store.labels(operation, outcome)
        child.observe(seconds)
        if size:
            self._moved[operation].inc(size)

    def received(self, blocks: int, size: int, *, new: int, new_size: int) -> None:
        """Count blocks that came."""
        self._count("received", blocks, size)
        self._count("redundant", blocks - new, size - new_size)

    def spared(self, blocks: int, size: int) -> None:
        """Count blocks that need not come."""
        self._count("saved", blocks, size)

    def read(self, blocks: int, size: int) -> None:
        """Count blocks that were read."""
        self._count("read", blocks, size)

    def orphans(self, count: int, size: int) -> None:
        """Tell what was counted just now."""
        self._orphans.set(count)
        self._orphan_bytes.set(size)
        self._counted.set_to_current_time()

    def page(self, accept: str) -> tuple[str, bytes]:
        """All of it in a format that the reader takes, with the format's type."""
        encode, content_type = choose_encoder(accept)
        return content_type, encode(self.registry)

    def _count(self, name: str, blocks: int, size: int) -> None:
        if blocks:
            count, count_bytes = self._blocks[name]
            count.inc(blocks)
            count_bytes.inc(size)
