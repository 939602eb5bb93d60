"""A span of OpenTelemetry for each call, sent to a collector."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from importlib.metadata import version

from opentelemetry import context as otel_context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from holdfast_server.calls import Call, End

# Numbers of gRPC's statuses, as the conventions for spans want them.
_CODES = {
    name: number
    for number, name in enumerate(
        (
            *("OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS"),
            *("PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE"),
            *("UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"),
        )
    )
}
# Those that the conventions count as errors of the server; the others are the caller's.
_FAULTS = {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
_HEADERS = ("traceparent", "tracestate")
# Seconds that the collector gets for the last spans when the server stops.
_LAST_SECONDS = 3.0


class Tracing:
    """A ``CallObserver`` that makes a span of each call, below the one that the client names by ``traceparent``.

    Names and attributes are those of OpenTelemetry's conventions for RPC. What the SDK reads of the standard ``OTEL_…``
    variables holds: sampling, headers, limits, resources.

    Args:
        endpoint: ``http://host:port`` or ``https://host:port`` of a collector.
    """

    def __init__(self, endpoint: str) -> None:
        self._provider = TracerProvider(resource=_resource(os.environ))
        self._provider.add_span_processor(BatchSpanProcessor(_exporter(endpoint, os.environ)))
        self._tracer = self._provider.get_tracer("holdfast_server", version("holdfast"))
        self._propagator = TraceContextTextMapPropagator()

    def begin(self, call: Call) -> End:
        """Begin a span, which is the current one until it ends."""
        carrier = {key: value for key, value in call.metadata if key in _HEADERS and isinstance(value, str)}
        service, _, method = call.method.rpartition("/")
        span = self._tracer.start_span(
            call.method,
            context=self._propagator.extract(carrier, context=otel_context.Context()),
            kind=SpanKind.SERVER,
            attributes={
                "rpc.system": "grpc",
                "rpc.service": service,
                "rpc.method": method,
                "network.peer.address": call.peer,
                "holdfast.request_id": call.request_id,
            },
        )
        token = otel_context.attach(set_span_in_context(span))

        def end(code: str) -> None:
            otel_context.detach(token)
            span.set_attribute("rpc.grpc.status_code", _CODES[code])
            if code in _FAULTS:
                span.set_status(Status(StatusCode.ERROR, code))
            span.end()

        return end

    def close(self) -> None:
        """Send what is left, unless the collector takes too long. Blocks."""
        last = threading.Thread(target=self._provider.shutdown, daemon=True)
        last.start()
        last.join(_LAST_SECONDS)


def _resource(environment: Mapping[str, str]) -> Resource:
    attributes = {"service.version": version("holdfast")}
    named = "OTEL_SERVICE_NAME" in environment or "service.name=" in environment.get("OTEL_RESOURCE_ATTRIBUTES", "")
    if not named:
        attributes["service.name"] = "holdfast"
    return Resource.create(attributes)


def _exporter(endpoint: str, environment: Mapping[str, str]) -> SpanExporter:
    protocol = environment.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or environment.get("OTEL_EXPORTER_OTLP_PROTOCOL")
    if protocol and protocol.startswith("http"):
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter

        exporter: SpanExporter = HttpExporter(endpoint=f"{endpoint.rstrip('/').removesuffix('/v1/traces')}/v1/traces")
        return exporter
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter(endpoint=endpoint)
