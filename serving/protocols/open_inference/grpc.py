"""The Open Inference Protocol V2 over gRPC, with gRPC's health check."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import grpc

from serving.errors import InternalError, InvalidField, PathNotFound, ServedError
from serving.logs import LOGGER
from serving.observability.recorder import CLIENT_LEFT
from serving.observability.request_log import RequestLog, RequestRecord, request_id
from serving.protocols.dataplane import admitted
from serving.protocols.grpc.bounds import parsed, received
from serving.protocols.grpc.calls import Calls, metadata_of
from serving.protocols.grpc.errors import abort
from serving.protocols.large_body import INLINE_BYTES
from serving.protocols.open_inference import semantics
from serving.protocols.open_inference.grpc_messages import check_counts, message, parameters_of
from serving.protocols.open_inference.parameters import check_parameters
from serving.protocols.open_inference.semantics import (
    EXTENSIONS,
    InferRequest,
    metadata,
    requested_output,
)
from serving.protocols.open_inference.tensors import BYTES, Tensor, from_binary, text_of, to_binary
from serving.runtime.in_flight import out_of_time
from serving.runtime.service import Service

_SERVICE = "inference.GRPCInferenceService"
_HEALTH = "grpc.health.v1.Health"
_CHECKED = ["", _SERVICE, _HEALTH]
_SERVING, _NOT_SERVING = 1, 2
_BUG = "see the server's log for the request id"
_CONTENTS = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    BYTES: "bytes_contents",
}
# Parameters of HTTP that clients send over gRPC too, where they have no effect.
_HTTP_PARAMETERS = {"binary_data", "binary_data_size", "content_type"}


class _Call(NamedTuple):
    """One call: its record, its metadata as ASGI's headers, and the seconds to its deadline."""

    record: RequestRecord
    headers: dict[bytes, bytes]
    left_s: float | None


class OpenInference:
    """Answers over gRPC what the application answers over HTTP, with its records and limits."""

    def __init__(self, service: Service, request_log: RequestLog, calls: Calls) -> None:
        self._service = service
        self._request_log = request_log
        self._settings = service.settings
        self._calls = calls

    def handlers(self) -> list[Any]:
        """Make the handlers of the protocol and of the health check."""
        methods = {
            "ServerLive": ("Empty", self._live),
            "ServerReady": ("Empty", self._ready),
            "ModelReady": ("ModelRequest", self._model_ready),
            "ServerMetadata": ("Empty", self._server_metadata),
            "ModelMetadata": ("ModelRequest", self._model_metadata),
            "ModelInfer": ("ModelInferRequest", self._infer),
        }
        health = {"Check": ("HealthCheckRequest", self._check)}
        return [self._handler(_SERVICE, methods), self._handler(_HEALTH, health)]

    def _handler(self, service: str, methods: dict[str, tuple[str, Any]]) -> Any:
        return grpc.method_handlers_generic_handler(
            service,
            {
                # gRPC would wait for ever for the request of a unary method.
                name: grpc.stream_unary_rpc_method_handler(
                    self._recorded(f"/{service}/{name}", method, message(request))
                )
                for name, (request, method) in methods.items()
            },
        )

    def _recorded(
        self, path: str, method: Callable[[Any, _Call], Awaitable[Any]], kind: Any
    ) -> Callable[[Any, Any], Awaitable[bytes]]:
        is_inference = kind is message("ModelInferRequest")

        async def recorded(_requests: Any, context: Any) -> bytes:
            headers = metadata_of(context)
            started_s = time.monotonic()
            record = RequestRecord(request_id(headers), started_s, is_inference=is_inference)
            status, connection = 200, context.peer()
            with self._calls.running() as task, self._service.in_flight:
                try:
                    self._check_share(connection, record, headers)
                    sent = await received(self._service, context)
                    # It is parsed on the event loop, or by a thread if it is large.
                    is_large = is_inference and len(sent) > INLINE_BYTES
                    request = sent if is_large else parsed(kind, sent)
                    call = _Call(record, headers, context.time_remaining())
                    answer: bytes = (await method(request, call)).SerializeToString()
                    self._calls.unread.add(connection, answer)
                except ServedError as error:
                    status = record.refuse(error)
                    await abort(context, error)
                except asyncio.CancelledError:
                    if task not in self._service.out_of_time:
                        status = CLIENT_LEFT
                        raise
                    late = out_of_time()
                    status = record.refuse(late)
                    await abort(context, late)
                except Exception as error:
                    LOGGER.exception("bug")
                    status = record.refuse(InternalError(_BUG))
                    raise InternalError(_BUG) from error
                else:
                    return answer
                finally:
                    scope = {"method": "POST", "path": path}
                    self._request_log.record(scope, headers, path, record, status)

        return recorded

    def _check_share(
        self, connection: str, record: RequestRecord, headers: dict[bytes, bytes]
    ) -> None:
        """See UnreadAnswers. Raises Unauthorized instead to a request without a valid key."""
        try:
            self._calls.unread.check_share(connection)
        except ServedError:
            if record.is_inference:
                record.caller = self._service.callers.identify(headers).name
            raise

    async def _live(self, _request: Any, _call: _Call) -> Any:
        return message("ServerLiveResponse")(live=True)

    async def _ready(self, _request: Any, _call: _Call) -> Any:
        return message("ReadyResponse")(ready=self._service.ready)

    async def _check(self, request: Any, _call: _Call) -> Any:
        if request.service not in _CHECKED:
            raise PathNotFound(
                f"name one of the services {_CHECKED}",
                field="service",
                limit=_CHECKED,
                value=request.service,
            )
        status = _SERVING if self._service.ready else _NOT_SERVING
        return message("HealthCheckResponse")(status=status)

    async def _model_ready(self, request: Any, call: _Call) -> Any:
        self._service.callers.identify(call.headers)
        try:
            self._service.family_with(request.name, request.version)
        except ServedError:
            return message("ReadyResponse")(ready=False)
        return message("ReadyResponse")(ready=True)

    async def _server_metadata(self, _request: Any, _call: _Call) -> Any:
        return message("ServerMetadataResponse")(
            name="sizewise", version="2", extensions=EXTENSIONS
        )

    async def _model_metadata(self, request: Any, call: _Call) -> Any:
        self._service.callers.identify(call.headers)
        family = self._service.family_with(request.name, request.version)
        fields = metadata(family)
        for output in fields["outputs"]:
            output["parameters"] = [
                {"key": name, "value": {"string_param": value}}
                for name, value in output["parameters"].items()
            ]
        return message("ModelMetadataResponse")(**fields)

    async def _infer(self, request: Any, call: _Call) -> Any:
        service = self._service
        async with admitted(service, call.record, call.headers) as client:
            if isinstance(request, bytes):
                request, inference = await service.large_work.do(partial(_parse, request))
            else:
                inference = _infer_request(request)
            given = inference.parameters.keys()
            if call.left_s is not None and not {"timeout", "deadline_ms"} & given:
                most_ms = self._settings.max_deadline_ms
                deadline_ms = max(1, min(most_ms, int(call.left_s * 1e3)))
                inference = replace(
                    inference, parameters={**inference.parameters, "deadline_ms": deadline_ms}
                )
            answered, outputs = await semantics.infer(service, call.record, client, inference)
        response = message("ModelInferResponse")(
            model_name=inference.model, model_version=answered.variant, id=request.id
        )
        version = response.parameters.add(key="version")
        version.value.string_param = answered.version
        response.parameters.add(key="degraded").value.bool_param = answered.degraded
        _add_outputs(response, outputs, raw=bool(request.raw_input_contents))
        return response


def _parse(sent: bytes) -> tuple[Any, InferRequest]:
    request = parsed(message("ModelInferRequest"), sent)
    return request, _infer_request(request)


def _infer_request(request: Any) -> InferRequest:
    """Read a ModelInferRequest. Raises InvalidField."""
    check_counts(request)
    requested = [
        requested_output(each.name, parameters_of(each.parameters), index, known=_HTTP_PARAMETERS)
        for index, each in enumerate(request.outputs)
    ]
    parameters = parameters_of(request.parameters)
    inputs = _tensors(request)
    return InferRequest(request.model_name, request.model_version, inputs, requested, parameters)


def _add_outputs(response: Any, outputs: list[Tensor], *, raw: bool) -> None:
    for tensor in outputs:
        added = response.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        if raw:
            response.raw_output_contents.append(to_binary(tensor))
        elif tensor.datatype == BYTES:
            added.contents.bytes_contents.extend(each.encode() for each in tensor.data)
        else:
            added.contents.fp32_contents.extend(tensor.data)


def _tensors(request: Any) -> list[Tensor]:
    """Read the inputs from raw contents, or else from typed ones. Raises InvalidField."""
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise InvalidField(
            "raw_input_contents must have one entry per input",
            field="raw_input_contents",
            limit=len(request.inputs),
            value=len(raw),
        )
    tensors = []
    for index, each in enumerate(request.inputs):
        where = f"inputs[{index}]"
        check_parameters(parameters_of(each.parameters), _HTTP_PARAMETERS, where)
        if raw:
            data: Any = from_binary(each.datatype, raw[index], where)
        elif each.datatype in _CONTENTS:
            data = list(getattr(each.contents, _CONTENTS[each.datatype]))
            if each.datatype == BYTES:
                data = [text_of(text, f"{where}.data[{at}]") for at, text in enumerate(data)]
        else:
            raise InvalidField(
                "this datatype has no typed contents: send raw ones",
                field=f"{where}.datatype",
                limit=list(_CONTENTS),
                value=each.datatype,
            )
        tensors.append(Tensor(each.name, each.datatype, list(each.shape), data))
    return tensors
