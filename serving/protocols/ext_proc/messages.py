"""The messages of envoy.service.ext_proc.v3, as far as they are read or written here.

Other fields are ignored when read. Header names and values are bytes, because Envoy passes on what
is not UTF-8; enumerations are the whole numbers that stand for them.
"""

from serving.protocols.grpc.messages import Fields, message_classes

NO_BODY, BUFFERED, BUFFERED_PARTIAL, FULL_DUPLEX = 0, 2, 3, 4
"""Modes in which Envoy sends a body; in all others a chunk at a time, if at all."""
OVERWRITE = 2
"""Sets a header whether it is there or not."""

_PHASES: Fields = {
    "request_headers": (2, "HttpHeaders"),
    "response_headers": (3, "HttpHeaders"),
    "request_body": (4, "HttpBody"),
    "response_body": (5, "HttpBody"),
    "request_trailers": (6, "HttpTrailers"),
    "response_trailers": (7, "HttpTrailers"),
}
_REPLIES: Fields = {
    "request_headers": (1, "CommonReply"),
    "response_headers": (2, "CommonReply"),
    "request_body": (3, "CommonReply"),
    "response_body": (4, "CommonReply"),
    "request_trailers": (5, "TrailersResponse"),
    "response_trailers": (6, "TrailersResponse"),
    "immediate_response": (7, "ImmediateResponse"),
}
_BODY: Fields = {"body": (1, "bytes"), "end_of_stream": (2, "bool")}
_MESSAGES: dict[str, Fields] = {
    "ProtocolConfiguration": {"request_body_mode": (1, "int32")},
    "ProcessingRequest": {**_PHASES, "protocol_config": (11, "ProtocolConfiguration")},
    "HttpHeaders": {"headers": (1, "HeaderMap"), "end_of_stream": (3, "bool")},
    "HttpBody": _BODY,
    "HttpTrailers": {},
    "HeaderMap": {"headers": (1, "HeaderValue*")},
    "HeaderValue": {"key": (1, "bytes"), "value": (2, "bytes"), "raw_value": (3, "bytes")},
    "ProcessingResponse": _REPLIES,
    "CommonReply": {"response": (1, "CommonResponse")},
    "CommonResponse": {
        "header_mutation": (2, "HeaderMutation"),
        "body_mutation": (3, "BodyMutation"),
    },
    "TrailersResponse": {},
    "HeaderMutation": {
        "set_headers": (1, "HeaderValueOption*"),
        "remove_headers": (2, "string*"),
    },
    "HeaderValueOption": {"header": (1, "HeaderValue"), "append_action": (3, "int32")},
    "BodyMutation": {"streamed_response": (3, "StreamedBodyResponse")},
    "StreamedBodyResponse": _BODY,
    "ImmediateResponse": {
        "status": (1, "HttpStatus"),
        "headers": (2, "HeaderMutation"),
        "body": (3, "bytes"),
        "details": (5, "string"),
    },
    "HttpStatus": {"code": (1, "int32")},
}
PHASE = "request"
"""The choice of a ProcessingRequest."""

message = message_classes(
    "sizewise.ext_proc",
    _MESSAGES,
    {"ProcessingRequest": (PHASE, _PHASES), "ProcessingResponse": ("response", _REPLIES)},
)
"""Look up the class of a message."""
