"""Tells servers which trace a call belongs to, in programs that trace."""

from __future__ import annotations

import sys


def trace_metadata() -> tuple[tuple[str, str], ...]:
    """``traceparent`` of the current span of OpenTelemetry, for a call's metadata; empty when there is none."""
    if "opentelemetry.trace" not in sys.modules:  # the program does not trace: nothing is imported for it
        return ()
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return tuple(carrier.items())
