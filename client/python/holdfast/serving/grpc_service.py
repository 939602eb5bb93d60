"""The gRPC side: ``holdfast.v1.PredictionService`` and health checking."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import grpc
from google.protobuf import any_pb2
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from holdfast.serving.errors import ServingError
from holdfast.serving.messages import decode_input, encode_output
from holdfast.serving.state import ServerState
from holdfast.v1 import error_reason_pb2, prediction_pb2
from holdfast.v1 import prediction_service_pb2 as messages

__all__ = ["GrpcServer"]

logger = logging.getLogger("holdfast.serving")

SERVICE = "holdfast.v1.PredictionService"


class PredictionServicer:
    """The methods; requests come as bytes, so that a malformed one can be told from a defect."""

    def __init__(self, state: ServerState) -> None:
        self._state = state

    def handlers(self) -> grpc.GenericRpcHandler:
        """What gRPC calls for which method."""
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                "Predict": grpc.unary_unary_rpc_method_handler(
                    self.predict, response_serializer=messages.PredictResponse.SerializeToString
                ),
                "PredictStream": grpc.stream_stream_rpc_method_handler(
                    self.predict_stream, response_serializer=messages.PredictStreamResponse.SerializeToString
                ),
                "GetModel": grpc.unary_unary_rpc_method_handler(
                    self.get_model, response_serializer=messages.GetModelResponse.SerializeToString
                ),
            },
        )

    async def predict(self, request: bytes, context: Any) -> messages.PredictResponse:
        """Answer one question, within the call's deadline."""
        try:
            question = _parse(messages.PredictRequest, request)
            output = await self._answer(question.input, context.time_remaining())
        except ServingError as error:
            await _abort(context, error)
        return messages.PredictResponse(output=output)

    async def predict_stream(
        self, requests: AsyncIterator[bytes], context: Any
    ) -> AsyncIterator[messages.PredictStreamResponse]:
        """Answer questions in their order; one that cannot be answered gets its error."""
        async for request in requests:
            try:
                question = _parse(messages.PredictStreamRequest, request)
                output = await self._answer(question.input, context.time_remaining())
            except ServingError as error:
                reason = error_reason_pb2.ErrorReason.Value(f"ERROR_REASON_{error.kind.reason}")
                yield messages.PredictStreamResponse(error={"reason": reason, "message": error.message})
            else:
                yield messages.PredictStreamResponse(output=output)

    async def get_model(self, request: bytes, context: Any) -> messages.GetModelResponse:
        """Describe the model."""
        try:
            _parse(messages.GetModelRequest, request)
        except ServingError as error:
            await _abort(context, error)
        state = self._state
        model = state.model
        answer = messages.GetModelResponse(
            model_uri=state.config.model_uri,
            name=model.identity.name,
            version=model.identity.version,
            alias=(state.following.details().get("alias") or "") if state.following is not None else "",
            model_id=model.model_id or "",
            run_id=model.run_id or "",
            input_example=model.example or "",
        )
        answer.serve_time.FromMilliseconds(round(model.served_since * 1000))
        schemas = model.signature.to_dict() if model.signature else {}
        answer.input_schema = schemas.get("inputs") or ""
        answer.output_schema = schemas.get("outputs") or ""
        answer.params_schema = schemas.get("params") or ""
        return answer

    async def _answer(
        self, question: prediction_pb2.PredictionInput, remaining: float | None
    ) -> prediction_pb2.PredictionOutput:
        metrics = self._state.metrics
        begin = time.perf_counter()
        limit = self._state.config.request_timeout
        metrics.in_progress.inc()
        code = "OK"
        try:
            return await self._state.predictor.run(  # type: ignore[no-any-return]
                partial(decode_input, question),
                partial(encode_output, output_format=question.output_format),
                timeout=limit if remaining is None else min(limit, remaining),
            )
        except ServingError as error:
            code = error.kind.grpc_status
            raise
        finally:
            metrics.in_progress.dec()
            metrics.request("grpc", code, time.perf_counter() - begin)


class GrpcServer:
    """The service on a port of its own, in the event loop that HTTP runs in."""

    def __init__(self, state: ServerState, address: str, *, shared: bool) -> None:
        """Bind.

        Args:
            state: What to serve.
            address: ``host:port``.
            shared: Other workers listen on the same port.

        Raises:
            OSError: The address cannot be bound.
        """
        most = state.config.max_request_size
        self._state = state
        self._server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", most),
                ("grpc.max_send_message_length", -1),
                ("grpc.so_reuseport", int(shared)),
                ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
                ("grpc.keepalive_permit_without_calls", 1),
            ]
        )
        self._server.add_generic_rpc_handlers((PredictionServicer(state).handlers(),))
        self._health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        try:
            self.port = self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise OSError(f"cannot bind {address}: {error}") from error

    async def start(self) -> None:
        """Serve."""
        await self._server.start()
        for service in ("", SERVICE):
            await self._health.set(service, health_pb2.HealthCheckResponse.SERVING)

    async def stop(self, grace: float) -> None:
        """Say that it stops, refuse new calls, and give those in progress ``grace`` seconds."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(grace)


def _parse(kind: Any, request: bytes) -> Any:
    try:
        return kind.FromString(request)
    except DecodeError:
        raise ServingError(ServingError.MALFORMED, f"The request is not a {kind.__name__}.") from None


async def _abort(context: Any, error: ServingError) -> Any:
    """End a call with a status that carries an ErrorInfo, as those of Holdfast's server do."""
    status = getattr(grpc.StatusCode, error.kind.grpc_status)
    info = error_details_pb2.ErrorInfo(reason=error.kind.reason, domain="holdfast")
    packed = any_pb2.Any()
    packed.Pack(info)
    details = status_pb2.Status(code=status.value[0], message=error.message[:2000], details=[packed])
    trailing = (("grpc-status-details-bin", details.SerializeToString()),)
    await context.abort(status, error.message[:2000], trailing)
