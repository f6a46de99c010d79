"""The messages of BMv2's packet service, `p4.bm.DataplaneInterface`, built from a description of them.

Names and numbers are those that simple_switch_grpc has on the wire (behavioral-model,
services/p4/bm/dataplane_interface.proto).
"""

from collections.abc import Mapping
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PACKAGE = "p4.bm"
SERVICE = f"{PACKAGE}.DataplaneInterface"

_Field = descriptor_pb2.FieldDescriptorProto
_PACKET = {
    "id": _Field.TYPE_UINT64,
    "device_id": _Field.TYPE_UINT64,
    "port": _Field.TYPE_UINT32,
    "packet": _Field.TYPE_BYTES,
}
# Message -> its fields, numbered from 1.
_MESSAGES: dict[str, Mapping[str, Any]] = {
    "PacketStreamRequest": _PACKET,
    "PacketStreamResponse": _PACKET,
    "SetPortOperStatusRequest": {
        "device_id": _Field.TYPE_UINT64,
        "port": _Field.TYPE_UINT32,
        "oper_status": _Field.TYPE_ENUM,
    },
    "SetPortOperStatusResponse": {},
}
_OPER_STATUS = "PortOperStatus"

OPER_STATUS_DOWN, OPER_STATUS_UP = 1, 2


def _describe() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(
        name="sluice/switch/packet_messages.proto", package=PACKAGE, syntax="proto3"
    )
    status = file.enum_type.add(name=_OPER_STATUS)
    for number, name in enumerate(("OPER_STATUS_UNKNOWN", "OPER_STATUS_DOWN", "OPER_STATUS_UP")):
        status.value.add(name=name, number=number)
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, (field, kind) in enumerate(fields.items(), start=1):
            described = message.field.add(name=field, number=number, type=kind, label=_Field.LABEL_OPTIONAL)
            if kind == _Field.TYPE_ENUM:
                described.type_name = f".{PACKAGE}.{_OPER_STATUS}"
    return file


# A pool of its own: whoever has the messages from elsewhere can use both in one process.
_pool = descriptor_pool.DescriptorPool()
_pool.Add(_describe())  # pyright: ignore[reportUnknownMemberType]


def _message(name: str) -> Any:
    return message_factory.GetMessageClass(_pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))


PacketStreamRequest = _message("PacketStreamRequest")
PacketStreamResponse = _message("PacketStreamResponse")
SetPortOperStatusRequest = _message("SetPortOperStatusRequest")
SetPortOperStatusResponse = _message("SetPortOperStatusResponse")
