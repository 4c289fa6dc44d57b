"""Calls of the Open Inference Protocol over gRPC."""

import contextlib

import grpc

from serving.protocols.open_inference.grpc_messages import message

INFER = "/inference.GRPCInferenceService/ModelInfer"


@contextlib.contextmanager
def channel(port):
    with grpc.insecure_channel(f"127.0.0.1:{port}") as opened:
        grpc.channel_ready_future(opened).result(10)
        yield opened


def request(*texts, model="tone"):
    infer = message("ModelInferRequest")(model_name=model)
    tensor = infer.inputs.add(name="text", datatype="BYTES", shape=[len(texts)])
    tensor.contents.bytes_contents.extend(text.encode() for text in texts)
    return infer


def call(opened, path=INFER, answer="ModelInferResponse"):
    return opened.unary_unary(
        path,
        request_serializer=lambda sent: sent.SerializeToString(),
        response_deserializer=message(answer).FromString,
    )
