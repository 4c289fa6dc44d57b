"""Message classes of gRPC, made from tables, so that nothing has to be generated."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

Fields = Mapping[str, tuple[int, str]]
"""The number and the type of each field: one of protobuf's, or a message; `*` after it repeats."""


def message_classes(
    package: str,
    messages: Mapping[str, Fields],
    one_of: Mapping[str, tuple[str, Collection[str]]],
) -> Callable[[str], Any]:
    """Make the classes of these messages; return how to look one up by its name.

    `one_of` names a message's choice, if it has one, and the fields of which one is set.
    """
    file = FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        choice, chosen = one_of.get(name, ("", ()))
        if choice:
            message.oneof_decl.add(name=choice)
        for field, (number, kind) in fields.items():
            added = message.field.add(name=field, number=number)
            single = kind.removesuffix("*")
            added.label = added.LABEL_OPTIONAL if single == kind else added.LABEL_REPEATED
            if single in messages:
                added.type = added.TYPE_MESSAGE
                added.type_name = f".{package}.{single}"
            else:
                added.type = FieldDescriptorProto.Type.Value(f"TYPE_{single.upper()}")
            if field in chosen:
                added.oneof_index = 0
    pool = DescriptorPool()
    pool.Add(file)
    return lambda name: GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}"))
