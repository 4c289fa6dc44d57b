"""The Open Inference Protocol V2 over HTTP, with Triton's binary data extension."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, FailFast, Field
from pydantic_core import to_json

from serving.errors import InvalidField, ServedError
from serving.protocols import peer_schemas
from serving.protocols.dataplane import Api, Refusal, admitted_body, read
from serving.protocols.large_answer import TURN_SCORES
from serving.protocols.open_inference import semantics
from serving.protocols.open_inference.parameters import check_parameters
from serving.protocols.open_inference.semantics import (
    EXTENSIONS,
    MOST_DIMENSIONS,
    MOST_ID_CHARS,
    MOST_TENSORS,
    InferRequest,
    metadata,
    requested_output,
)
from serving.protocols.open_inference.tensors import BYTES, Tensor, from_binary, to_binary
from serving.protocols.openapi import CLASSIFYING, READING, refusals, request_body
from serving.protocols.request_body import JSON_TYPE, MOST_DIGITS
from serving.runtime.service import Service

BINARY_TYPE = "application/octet-stream"
_HEADER_LENGTH = "Inference-Header-Content-Length"
_INPUT_PARAMETERS = {"binary_data_size", "content_type"}
_OUTPUT_PARAMETERS = {"binary_data", "content_type"}
_INVALID = 422
_STATUSES = [status for status in CLASSIFYING if status != _INVALID]
router = APIRouter(responses=refusals(peer_schemas.HuggingFaceError, READING))


# As gRPC has them: the product of longer numbers could not be written any more.
_Size = Annotated[int, Field(ge=-(1 << 63), lt=1 << 63)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    name: str
    parameters: dict[str, Any] = {}


class InferInput(_Part):
    """One input; its data is in `data`, nested or flat, or follows the JSON."""

    shape: Annotated[list[_Size], FailFast(), Field(max_length=MOST_DIMENSIONS)]
    datatype: str
    data: list[Any] | None = None


class InferOutput(_Part):
    """One requested output."""


class InferBody(BaseModel):
    """The JSON of a request; KServe's client repeats the model of the path in `model_name`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    model_name: str | None = None
    id: str | None = Field(None, max_length=MOST_ID_CHARS)
    parameters: dict[str, Any] = {}
    inputs: Annotated[list[InferInput], FailFast(), Field(min_length=1, max_length=MOST_TENSORS)]
    outputs: Annotated[list[InferOutput], FailFast(), Field(max_length=MOST_TENSORS)] = []


_METADATA: dict[str, Any] = {
    "response_model": peer_schemas.ModelMetadata,
    "response_model_exclude_unset": True,
}
_INFER: dict[str, Any] = {
    "response_model": peer_schemas.InferResponse,
    "responses": {
        **refusals(peer_schemas.HuggingFaceError, _STATUSES),
        200: {"content": {BINARY_TYPE: {}}},
    },
    "openapi_extra": request_body(InferBody, BINARY_TYPE),
}


@router.get("/v2", response_model=peer_schemas.ServerMetadata)
async def server_metadata() -> dict[str, Any]:
    """What this server is."""
    return {"name": "sizewise", "version": "2", "extensions": [*EXTENSIONS, "binary_tensor_data"]}


@router.get("/v2/health/live", response_model=peer_schemas.Live)
async def live() -> dict[str, bool]:
    """The process answers."""
    return {"live": True}


@router.get("/v2/health/ready", response_model=peer_schemas.Ready)
async def ready(request: Request) -> dict[str, bool]:
    """New requests are welcome."""
    request.state.service.check_ready()
    return {"ready": True}


@router.get("/v2/models/{model}", **_METADATA)
@router.get("/v2/models/{model}/versions/{version}", **_METADATA)
async def model_metadata(request: Request, model: str, version: str = "") -> dict[str, Any]:
    """Inputs and outputs of a model."""
    return metadata(_service(request).family_with(model, version))


@router.get("/v2/models/{model}/ready", response_model=peer_schemas.ModelReady)
@router.get("/v2/models/{model}/versions/{version}/ready", response_model=peer_schemas.ModelReady)
async def model_ready(request: Request, model: str, version: str = "") -> dict[str, Any]:
    """Whether a model is ready."""
    family = _service(request).family_with(model, version)
    return {"name": family.name, "ready": True}


@router.post("/v2/repository/index", response_model=list[peer_schemas.IndexEntry])
async def index(request: Request) -> list[dict[str, str]]:
    """All models and their versions."""
    service = _service(request)
    service.check_alive()
    found = [
        {"name": family.name, "version": manifest.variant, "state": "READY", "reason": ""}
        for family in service.families.values()
        for manifest in family.manifests
    ]
    away = sorted(service.deployments.resting | service.deployments.unloaded)
    return found + [
        {"name": name, "version": "", "state": "UNAVAILABLE", "reason": "unloaded"} for name in away
    ]


@router.post("/v2/models/{model}/infer", **_INFER)
@router.post("/v2/models/{model}/versions/{version}/infer", **_INFER)
async def infer(request: Request, model: str, version: str = "") -> Response:
    """Classify."""
    state = request.state
    media_types = (JSON_TYPE, BINARY_TYPE, "")
    async with admitted_body(request.scope, request.receive, media_types) as (client, body):
        header, binary = _split(request.headers.get(_HEADER_LENGTH.lower()), body)
        meaning = partial(_meaning, model, version, binary)
        sent, inference = await read(
            state.service, header, InferBody, meaning, beside_bytes=len(binary)
        )
        answered, outputs = await semantics.infer(state.service, state.record, client, inference)
    fields = {
        "model_name": model,
        "model_version": answered.variant,
        **({"id": sent.id} if sent.id else {}),
        "parameters": {"version": answered.version, "degraded": answered.degraded},
    }
    write = partial(_response, fields, outputs, _binary_outputs(sent))
    if sum(len(each.data) for each in outputs) <= TURN_SCORES:
        return write()
    response: Response = await state.service.large_work.do(write)
    return response


def _meaning(
    model: str, version: str, binary: bytes, sent: InferBody
) -> tuple[InferBody, InferRequest]:
    """Read a request. Raises InvalidField."""
    if sent.model_name not in {None, model}:
        raise InvalidField(
            "model_name does not match the path",
            field="model_name",
            limit=model,
            value=sent.model_name,
        )
    requested = [
        requested_output(each.name, each.parameters, index, known=_OUTPUT_PARAMETERS)
        for index, each in enumerate(sent.outputs)
    ]
    inputs = _tensors(sent.inputs, binary)
    return sent, InferRequest(model, version, inputs, requested, sent.parameters)


def _service(request: Request) -> Service:
    service: Service = request.state.service
    service.callers.identify(dict(request.scope["headers"]))
    return service


def _split(length: str | None, body: bytes) -> tuple[bytes, bytes]:
    if length is None:
        return body, b""
    if not length.isdecimal() or len(length) > MOST_DIGITS or int(length) > len(body):
        raise InvalidField(
            "must be the number of bytes of JSON at the start of the body",
            field=_HEADER_LENGTH,
            limit=len(body),
            value=length,
        )
    return body[: int(length)], body[int(length) :]


def _tensors(inputs: Sequence[InferInput], binary: bytes) -> list[Tensor]:
    """Read the inputs; binary data is in their order. Raises InvalidField."""
    tensors = []
    at = 0
    for index, each in enumerate(inputs):
        where = f"inputs[{index}]"
        check_parameters(each.parameters, _INPUT_PARAMETERS, where)
        size = each.parameters.get("binary_data_size")
        if (size is None) == (each.data is None):
            raise InvalidField("send either data or binary_data_size", field=f"{where}.data")
        if size is None:
            data: Any = _flat(each.data or [])
            if each.datatype == BYTES:
                _check_strings(data, where)
        else:
            if type(size) is not int or not 0 <= size <= len(binary) - at:
                raise InvalidField(
                    "binary_data_size exceeds the remaining body",
                    field=f"{where}.parameters.binary_data_size",
                    limit=len(binary) - at,
                    value=size,
                )
            data = from_binary(each.datatype, binary[at : at + size], where)
            at += size
        tensors.append(Tensor(each.name, each.datatype, each.shape, data))
    if at < len(binary):
        raise InvalidField(
            "the body is longer than the inputs' binary_data_size",
            field="body",
            limit=at,
            value=len(binary),
        )
    return tensors


def _flat(data: list[Any]) -> list[Any]:
    while data and all(isinstance(each, list) for each in data):
        data = [item for each in data for item in each]
    return data


def _check_strings(data: list[Any], where: str) -> None:
    for index, value in enumerate(data):
        if not isinstance(value, str):
            raise InvalidField(
                "the elements of BYTES must be strings", field=f"{where}.data[{index}]", limit=BYTES
            )


def _binary_outputs(sent: InferBody) -> set[str]:
    everything = bool(sent.parameters.get("binary_data_output"))
    if not sent.outputs:
        return {"label", "probabilities"} if everything else set()
    return {
        each.name for each in sent.outputs if each.parameters.get("binary_data", everything) is True
    }


def _response(fields: dict[str, Any], tensors: Sequence[Tensor], binary: set[str]) -> Response:
    parts, written = [], []
    for tensor in tensors:
        part: dict[str, Any] = {
            "name": tensor.name,
            "datatype": tensor.datatype,
            "shape": list(tensor.shape),
        }
        if tensor.name in binary:
            data = to_binary(tensor)
            part["parameters"] = {"binary_data_size": len(data)}
            written.append(data)
        else:
            part["data"] = tensor.data
        parts.append(part)
    header = to_json(fields | {"outputs": parts})
    if not written:
        return Response(header, media_type=JSON_TYPE)
    return Response(
        header + b"".join(written),
        media_type=BINARY_TYPE,
        headers={_HEADER_LENGTH: str(len(header))},
    )


def _refusal(error: ServedError, _request_id: str) -> Refusal:
    """Send 400 for 422, as Triton does; the message has all that problem+json would."""
    status = 400 if error.status == _INVALID else error.status
    return Refusal(status, to_json({"error": error.sentence()}), JSON_TYPE)


API = Api(router, _refusal)
