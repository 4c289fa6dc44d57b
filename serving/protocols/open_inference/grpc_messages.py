"""The messages of the Open Inference Protocol V2 over gRPC, and of gRPC's health check.

Built from the tables below, whose names, numbers and types are the protocol's; a map is sent as a
list of entry messages.
"""

from typing import Any

from serving.errors import InvalidField
from serving.protocols.grpc.messages import Fields, message_classes
from serving.protocols.open_inference.semantics import (
    MOST_DIMENSIONS,
    MOST_ID_CHARS,
    MOST_TENSORS,
)

_ONE_OF = "parameter_choice"
_PARAMETER = {
    "bool_param": (1, "bool"),
    "int64_param": (2, "int64"),
    "string_param": (3, "string"),
    "double_param": (4, "double"),
    "uint64_param": (5, "uint64"),
}
_METADATA = {"name": (1, "string"), "datatype": (2, "string"), "shape": (3, "int64*")}
_MODEL = {"name": (1, "string"), "version": (2, "string")}
_PARAMETERS = {"parameters": (4, "ParameterEntry*")}
_TENSOR = {**_METADATA, **_PARAMETERS, "contents": (5, "InferTensorContents")}
_INFER = {"model_name": (1, "string"), "model_version": (2, "string"), "id": (3, "string")}
_MESSAGES: dict[str, Fields] = {
    "InferParameter": _PARAMETER,
    "ParameterEntry": {"key": (1, "string"), "value": (2, "InferParameter")},
    "InferTensorContents": {
        "bool_contents": (1, "bool*"),
        "int_contents": (2, "int32*"),
        "int64_contents": (3, "int64*"),
        "uint_contents": (4, "uint32*"),
        "uint64_contents": (5, "uint64*"),
        "fp32_contents": (6, "float*"),
        "fp64_contents": (7, "double*"),
        "bytes_contents": (8, "bytes*"),
    },
    "TensorMetadata": {**_METADATA, **_PARAMETERS},
    "InferTensor": _TENSOR,
    "RequestedOutput": {"name": (1, "string"), "parameters": (2, "ParameterEntry*")},
    "Empty": {},
    "ServerLiveResponse": {"live": (1, "bool")},
    "ReadyResponse": {"ready": (1, "bool")},
    "ServerMetadataResponse": {
        "name": (1, "string"),
        "version": (2, "string"),
        "extensions": (3, "string*"),
    },
    "ModelRequest": _MODEL,
    "ModelMetadataResponse": {
        "name": (1, "string"),
        "versions": (2, "string*"),
        "platform": (3, "string"),
        "inputs": (4, "TensorMetadata*"),
        "outputs": (5, "TensorMetadata*"),
    },
    "ModelInferRequest": {
        **_INFER,
        **_PARAMETERS,
        "inputs": (5, "InferTensor*"),
        "outputs": (6, "RequestedOutput*"),
        "raw_input_contents": (7, "bytes*"),
    },
    "ModelInferResponse": {
        **_INFER,
        **_PARAMETERS,
        "outputs": (5, "InferTensor*"),
        "raw_output_contents": (6, "bytes*"),
    },
    "HealthCheckRequest": {"service": (1, "string")},
    "HealthCheckResponse": {"status": (1, "int32")},
}

message = message_classes("sizewise.v2", _MESSAGES, {"InferParameter": (_ONE_OF, _PARAMETER)})
"""Look up the class of a message."""


def parameters_of(entries: Any) -> dict[str, Any]:
    """Convert a map of parameters to plain values."""
    return {
        entry.key: getattr(entry.value, choice)
        for entry in entries
        if (choice := entry.value.WhichOneof(_ONE_OF))
    }


def check_counts(request: Any) -> None:
    """Raise InvalidField for a ModelInferRequest of more parts than over HTTP."""
    counts = {
        "id": (len(request.id), MOST_ID_CHARS),
        "inputs": (len(request.inputs), MOST_TENSORS),
        "outputs": (len(request.outputs), MOST_TENSORS),
        "parameters": (len(request.parameters), MOST_TENSORS),
    }
    if len(request.inputs) <= MOST_TENSORS:
        longest = max((len(each.shape) for each in request.inputs), default=0)
        counts["shape"] = (longest, MOST_DIMENSIONS)
    for field, (count, limit) in counts.items():
        if count > limit:
            raise InvalidField(f"{field} is too long", field=field, limit=limit, value=count)
