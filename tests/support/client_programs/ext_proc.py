"""Envoy's published messages: `ext_proc.py HOST:PORT STREAMS [KEY]`; prints each stream's answers.

STREAMS is a file of JSON: for each stream its ProcessingRequests as protobuf's JSON,
where a body is base64.
"""

import json
import sys
from pathlib import Path

import grpc
from envoy.service.ext_proc.v3.external_processor_pb2 import ProcessingRequest
from envoy.service.ext_proc.v3.external_processor_pb2_grpc import ExternalProcessorStub
from google.protobuf.json_format import MessageToDict, ParseDict

address, streams, *key = sys.argv[1:]
metadata = [("authorization", f"Bearer {each}") for each in key]


def answers(stub, stream):
    requests = [ParseDict(each, ProcessingRequest()) for each in stream]
    got = []
    try:
        for answer in stub.Process(iter(requests), timeout=30, metadata=metadata):
            got += [MessageToDict(answer, preserving_proto_field_name=True)]
    except grpc.RpcError as error:
        got += [error.code().name]
    return got


with grpc.insecure_channel(address) as channel:
    stub = ExternalProcessorStub(channel)
    print(json.dumps([answers(stub, stream) for stream in json.loads(Path(streams).read_text())]))
