"""The meaning of the Open Inference Protocol V2, for both transports: tensors in, tensors out.

A model is a family, its versions are the variants. A family that reads texts has the input `text`
(of pairs `text` and `text_pair`), BYTES in UTF-8 of shape [n] or [n, 1]; one that reads tensors has
the inputs that its manifest names, each of shape [n, ...]. The outputs are `label`, BYTES [n], and
`probabilities`, FP32 [n, labels], in the order of the manifest's labels; a model's metadata has
these as the parameter `labels` of both.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import prod
from typing import Any

from serving.bundles.bundle import Manifest
from serving.errors import InvalidField
from serving.inference.inputs import Row, Text
from serving.observability.request_log import RequestRecord
from serving.protocols.dataplane import Client, Query, answer, check_count, deadline_s
from serving.protocols.large_answer import TURN_SCORES
from serving.protocols.open_inference.parameters import check_parameters, flag, integer, long_of
from serving.protocols.open_inference.tensors import BYTES, Tensor, array
from serving.runtime.service import Service
from serving.variants.answers import FamilyAnswer
from serving.variants.family import Family
from serving.variants.selection import AUTO, Requirements

TEXT, TEXT_PAIR, LABEL, PROBABILITIES = "text", "text_pair", "label", "probabilities"
PLATFORM = "onnxruntime_onnx"
EXTENSIONS = ["classification", "model_repository"]
_PARAMETERS = "truncate, long, deadline_ms, timeout, priority, allow_degraded"
# Clients send these on their own; they do not change the answer.
_IGNORED = {"binary_data_output", "content_type", "headers"}
_US_PER_MS = 1000
MOST_ID_CHARS, MOST_TENSORS, MOST_DIMENSIONS = 1000, 1000, 16
_INLINE_VALUES = 4_096


@dataclass(frozen=True, slots=True)
class RequestedOutput:
    """An output to return; with `top`, the best so many as "score:index:label" instead."""

    name: str
    top: int = 0


@dataclass(frozen=True, slots=True)
class InferRequest:
    """One request; `version` is a variant, or empty."""

    model: str
    version: str
    inputs: Sequence[Tensor]
    outputs: Sequence[RequestedOutput] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)


async def infer(
    service: Service, record: RequestRecord, client: Client, request: InferRequest
) -> tuple[FamilyAnswer, list[Tensor]]:
    """Answer an admitted request; return the requested outputs too.

    Raises the ServedError to send.
    """
    family = await service.awake(request.model, deadline_s(service, record))
    read = partial(query_of, request, family, service.settings.max_texts)
    values = sum(len(each.data) for each in request.inputs)
    query = read() if values <= _INLINE_VALUES else await service.large_work.do(read)
    answered = await answer(service, record, client, query)
    write = partial(output_tensors, request, answered)
    scores = len(answered.answers) * len(answered.labels)
    return answered, write() if scores <= TURN_SCORES else await service.large_work.do(write)


def requested_output(
    name: str, parameters: Mapping[str, Any], index: int, *, known: Collection[str]
) -> RequestedOutput:
    """Read an output's parameters: `classification`, and the transport's `known` ones.

    Raises InvalidField.
    """
    where = f"outputs[{index}]"
    check_parameters(parameters, {"classification", *known}, where)
    top = parameters.get("classification", 0)
    if type(top) is not int:
        raise InvalidField(
            "classification must be a whole number",
            field=f"{where}.parameters.classification",
            value=top,
        )
    return RequestedOutput(name, top)


def metadata(family: Family) -> dict[str, Any]:
    """Make the protocol's metadata response for a model.

    The labels are JSON in a string, because a parameter of the protocol is no list.
    """
    manifest = family.default_manifest
    labels = {"labels": json.dumps(manifest.labels, ensure_ascii=False)}
    return {
        "name": family.name,
        "versions": sorted(each.variant for each in family.manifests),
        "platform": PLATFORM,
        "inputs": [
            {"name": name, "datatype": datatype, "shape": [-1, *shape]}
            for name, datatype, shape in _inputs(manifest)
        ],
        "outputs": [
            {"name": LABEL, "datatype": BYTES, "shape": [-1], "parameters": labels},
            {
                "name": PROBABILITIES,
                "datatype": "FP32",
                "shape": [-1, len(manifest.labels)],
                "parameters": labels,
            },
        ],
    }


def query_of(request: InferRequest, family: Family, max_texts: int) -> Query:
    """Read a request to this family. Raises InvalidField and TooManyTexts."""
    manifest = family.default_manifest
    parameters = request.parameters
    for name in parameters.keys() - {*_PARAMETERS.split(", "), *_IGNORED}:
        raise InvalidField(
            f"Unknown parameter {name!r}", field=f"parameters.{name}", limit=_PARAMETERS
        )
    given = {tensor.name: tensor for tensor in request.inputs}
    wanted = [name for name, _, _ in _inputs(manifest)]
    if sorted(given) != sorted(wanted) or len(given) < len(request.inputs):
        raise InvalidField(
            f"{family.name} has the inputs {wanted}",
            field="inputs",
            limit=wanted,
            value=[tensor.name for tensor in request.inputs],
        )
    _check_outputs(request.outputs, len(manifest.labels))
    timeout_us = integer(parameters, "timeout")
    return Query(
        _rows(manifest, given, max_texts)
        if manifest.tensors
        else _texts(manifest, given, max_texts),
        family.name,
        Requirements(
            request.version or AUTO,
            allow_degraded=flag(parameters, "allow_degraded", default=True),
            long=long_of(parameters),
        ),
        deadline_ms=max(1, timeout_us // _US_PER_MS)
        if timeout_us
        else integer(parameters, "deadline_ms") or None,
        # As in Triton: 1 is the most urgent, 0 the default.
        urgency=min(7, integer(parameters, "priority") - 1),
        field="inputs" if manifest.tensors else TEXT,
    )


def output_tensors(request: InferRequest, answered: FamilyAnswer) -> list[Tensor]:
    """Make the requested outputs, or all if none was requested."""
    labels, answers = answered.labels, answered.answers
    tensors = []
    for wanted in request.outputs or (RequestedOutput(LABEL), RequestedOutput(PROBABILITIES)):
        scores = [text.scores for text in answers]
        best = [sorted(range(len(row)), key=row.__getitem__, reverse=True) for row in scores]
        if wanted.top:
            count = min(wanted.top, len(labels))
            data: list[Any] = [
                f"{row[index]:f}:{index}:{labels[index]}"
                for row, order in zip(scores, best, strict=True)
                for index in order[:count]
            ]
            tensors.append(Tensor(wanted.name, BYTES, [len(answers), count], data))
        elif wanted.name == LABEL:
            first = [labels[order[0]] for order in best]
            tensors.append(Tensor(LABEL, BYTES, [len(answers)], first))
        else:
            flat = [score for row in scores for score in row]
            tensors.append(Tensor(PROBABILITIES, "FP32", [len(answers), len(labels)], flat))
    return tensors


def _inputs(manifest: Manifest) -> list[tuple[str, str, list[int]]]:
    if manifest.tensors:
        return [(tensor.name, tensor.datatype, tensor.shape) for tensor in manifest.tensors]
    names = (TEXT, TEXT_PAIR) if manifest.pairs else (TEXT,)
    return [(name, BYTES, []) for name in names]


def _texts(manifest: Manifest, given: Mapping[str, Tensor], max_texts: int) -> list[Text]:
    columns = [
        _checked(given[name], datatype, ([], [1])).data for name, datatype, _ in _inputs(manifest)
    ]
    _check_rows([len(column) for column in columns], max_texts, TEXT)
    if len(columns) == 1:
        return list(columns[0])
    return list(zip(*columns, strict=True))


def _rows(manifest: Manifest, given: Mapping[str, Tensor], max_texts: int) -> list[Row]:
    arrays = [
        array(_checked(given[name], datatype, (shape,)), name)
        for name, datatype, shape in _inputs(manifest)
    ]
    _check_rows([len(each) for each in arrays], max_texts, "inputs")
    return [Row(tuple(each[index] for each in arrays)) for index in range(len(arrays[0]))]


def _check_rows(counts: Sequence[int], max_texts: int, field: str) -> None:
    check_count(counts[0], max_texts, field)
    if len(set(counts)) > 1:
        raise InvalidField(
            "all inputs must have the same number of rows",
            field="inputs",
            limit=counts[0],
            value=list(counts),
        )


def _checked(tensor: Tensor, datatype: str, shapes: Sequence[Sequence[int]]) -> Tensor:
    """Check a tensor's datatype, and that each row has one of these shapes."""
    if tensor.datatype != datatype:
        raise InvalidField(
            f"{tensor.name} must be {datatype}",
            field=f"{tensor.name}.datatype",
            limit=datatype,
            value=tensor.datatype,
        )
    shape = list(tensor.shape)
    if not shape or shape[0] < 1 or shape[1:] not in [list(each) for each in shapes]:
        limit = [[-1, *each] for each in shapes]
        raise InvalidField(
            f"{tensor.name} must have the shape {' or '.join(map(str, limit))}",
            field=f"{tensor.name}.shape",
            limit=limit,
            value=shape,
        )
    if prod(shape) != len(tensor.data):
        raise InvalidField(
            f"the shape of {tensor.name} requires {prod(shape)} elements",
            field=f"{tensor.name}.data",
            limit=prod(shape),
            value=len(tensor.data),
        )
    return tensor


def _check_outputs(wanted: Sequence[RequestedOutput], labels: int) -> None:
    if len({each.name for each in wanted}) < len(wanted):
        raise InvalidField(
            "request each output once", field="outputs", value=[each.name for each in wanted]
        )
    for index, each in enumerate(wanted):
        if each.name not in {LABEL, PROBABILITIES}:
            raise InvalidField(
                f"Unknown output {each.name!r}",
                field=f"outputs[{index}].name",
                limit=[LABEL, PROBABILITIES],
                value=each.name,
            )
        if each.top < 0 or (each.top and each.name == LABEL):
            raise InvalidField(
                f"classification must be 0 or more, and is for {PROBABILITIES} only",
                field=f"outputs[{index}].parameters.classification",
                limit=labels,
                value=each.top,
            )
