import grpc
import pytest

from serving.errors import InvalidField
from serving.protocols.open_inference.grpc_messages import check_counts, message
from tests.support.grpc_calls import call, channel, request
from tests.support.processes import free_port, serving


@pytest.mark.parametrize("field", ["id", "inputs", "outputs", "parameters", "shape"])
def test_a_request_has_as_few_parts_as_over_http(field):
    sent = request("good")
    if field == "id":
        sent.id = "x" * 1001
    elif field == "shape":
        sent.inputs[0].shape.extend([1] * 17)
    else:
        for _ in range(1001):
            getattr(sent, field).add()

    with pytest.raises(InvalidField) as refused:
        check_counts(sent)

    assert refused.value.field == field
    check_counts(request("good"))


def test_a_large_request_is_answered_or_refused_as_a_small_one(tiny_registry):
    port = free_port()
    broken = message("ServerMetadataResponse")(name="x" * 50_000)
    with serving(tiny_registry, grpc_port=port), channel(port) as opened:
        large = request(*["good film " * 50] * 100)
        large.parameters.add(key="truncate").value.bool_param = True
        answer = call(opened)(large)
        with pytest.raises(grpc.RpcError) as refused:
            call(opened)(request(*["good"] * 10_000))
        raw = opened.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        with pytest.raises(grpc.RpcError) as malformed:
            raw(broken.SerializeToString()[:-1], timeout=30)

    assert len(answer.outputs[0].contents.bytes_contents) == 100
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert malformed.value.code() == grpc.StatusCode.INVALID_ARGUMENT
