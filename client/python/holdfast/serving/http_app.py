"""The HTTP side: MLflow's scoring protocol, and what operators and tools ask for."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, MutableMapping
from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from holdfast.models._mlmodel import FORMAT_VERSION
from holdfast.serving import metrics as metrics_module
from holdfast.serving.decoding import Decoded, media_type
from holdfast.serving.encoding import encode
from holdfast.serving.errors import ServingError
from holdfast.serving.model import ServedModel
from holdfast.serving.openapi import describe
from holdfast.serving.state import ServerState

__all__ = ["http_app"]

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_JSON = (b"content-type", b"application/json")


def http_app(state: ServerState) -> Starlette:
    """The ASGI application that answers for what ``state`` serves."""

    async def ping(_: Request) -> Response:
        return Response("\n", media_type="application/json")

    async def version(_: Request) -> Response:
        return Response(FORMAT_VERSION, media_type="application/json", headers={"holdfast-version": state.version})

    async def ready(_: Request) -> Response:
        is_ready, details = state.readiness()
        return JSONResponse(details, 200 if is_ready else 503)

    async def openapi(_: Request) -> Response:
        return JSONResponse(describe(state.model, state.version))

    async def metrics(_: Request) -> Response:
        return Response(state.metrics.text(), headers={"content-type": metrics_module.CONTENT_TYPE})

    async def refuse(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        code = "ENDPOINT_NOT_FOUND" if error.status_code == 404 else "BAD_REQUEST"
        message = f"{error.detail}. POST /invocations predicts; GET /openapi.json describes what there is."
        return JSONResponse({"error_code": code, "message": message}, error.status_code, headers=error.headers)

    return Starlette(
        routes=[
            Route("/invocations", Invocations(state), methods=["POST"]),
            Route("/ping", ping),
            Route("/health", ping),
            Route("/version", version),
            Route("/ready", ready),
            Route("/openapi.json", openapi),
            Route("/metrics", metrics),
        ],
        exception_handlers={HTTPException: refuse},
    )


class Invocations:
    """``POST /invocations``, as plain ASGI: what stands between a request and its prediction is time lost."""

    def __init__(self, state: ServerState) -> None:
        self._state = state

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        state = self._state
        begin = time.perf_counter()
        state.metrics.in_progress.inc()
        try:
            status, body, headers = await self._respond(scope, receive, begin)
        finally:
            state.metrics.in_progress.dec()
        state.metrics.request("http", str(status), time.perf_counter() - begin)
        headers = [_JSON, (b"content-length", str(len(body)).encode()), *headers]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _respond(
        self, scope: Message, receive: Receive, begin: float
    ) -> tuple[int, bytes, list[tuple[bytes, bytes]]]:
        state = self._state
        limit = state.config.request_timeout
        try:
            headers = dict(scope["headers"])
            media = media_type(headers.get(b"content-type", b"").decode("latin-1"))
            body = await _read_body(headers, receive, state.config.max_request_size, limit)
            left = limit - (time.perf_counter() - begin)
            answer, model = await state.predictor.run(partial(_decode, body, media), _encode, timeout=left)
            return 200, answer, _model_headers(model)
        except ServingError as error:
            content = {"error_code": error.kind.error_code, "message": error.message}
            extra = []
            if error.kind.status == 503:
                extra.append((b"retry-after", b"1"))
            if error.kind.status == 413:
                extra.append((b"connection", b"close"))  # the rest of the body is not read
            return error.kind.status, json.dumps(content).encode(), extra


def _decode(body: bytes, media: str, model: ServedModel) -> Decoded:
    return model.decoder.decode(body, media)


def _encode(predictions: Any, decoded: Decoded, model: ServedModel) -> tuple[bytes, ServedModel]:
    return encode(predictions, unwrapped=decoded.unwrapped), model


def _model_headers(model: ServedModel) -> list[tuple[bytes, bytes]]:
    """Which model answered; a registered model's name may not fit into a header."""
    found = [(b"holdfast-model-version", model.identity.version), (b"holdfast-model-id", model.model_id or "")]
    return [(name, value.encode("latin-1", "replace")) for name, value in found if value]


async def _read_body(headers: dict[bytes, bytes], receive: Receive, most: int, seconds: float) -> bytes:
    """The body.

    Raises:
        ServingError: It is too large, or does not come in time.
    """
    length = headers.get(b"content-length", b"")
    if length.isdigit() and int(length) > most:
        raise _too_large(most)
    parts, size = [], 0
    # The same as asyncio.timeout, which Python 3.10 has not, at less cost than wait_for's task.
    task = asyncio.current_task()
    assert task is not None
    late = False

    def expire() -> None:
        nonlocal late
        late = True
        task.cancel()

    timer = asyncio.get_running_loop().call_later(seconds, expire)
    try:
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ServingError(ServingError.BAD_REQUEST, "The connection ended before the whole body came.")
            if part := message.get("body", b""):
                size += len(part)
                if size > most:
                    raise _too_large(most)
                parts.append(part)
            if not message.get("more_body", False):
                break
    except asyncio.CancelledError:
        if not late:
            raise
        raise ServingError(
            ServingError.TIMEOUT, f"The body did not come within the {seconds:g} seconds that a request may take."
        ) from None
    finally:
        timer.cancel()
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _too_large(most: int) -> ServingError:
    return ServingError(
        ServingError.TOO_LARGE,
        f"A request has at most {most} bytes here: send fewer rows at once, or let the server be started with a "
        "greater --max-request-size.",
    )
