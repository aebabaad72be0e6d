"""Messages of TF Serving that its package lacks, made from the fields that its sources list."""

from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
    wrappers_pb2,
)


def parsed(text, kind, **messages):
    """Parses the text format of a message.

    Args:
        text: str.
        kind: str, the message.
        messages: {message: {field: type name, in the order of their numbers}}.

    Raises:
        text_format.ParseError: a field is unknown, or its value of another type.
    """
    kinds = descriptor_pb2.FieldDescriptorProto
    scalars = {"bool": kinds.TYPE_BOOL, "string": kinds.TYPE_STRING}
    file = descriptor_pb2.FileDescriptorProto(
        name="serving.proto", syntax="proto3", dependency=[wrappers_pb2.DESCRIPTOR.name]
    )
    for message, fields in messages.items():
        described = file.message_type.add(name=message)
        for number, (field, of_type) in enumerate(fields.items(), start=1):
            entry = described.field.add(name=field, number=number, label=kinds.LABEL_OPTIONAL)
            if of_type in scalars:
                entry.type = scalars[of_type]
            else:
                entry.type_name = of_type
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    message = message_factory.GetMessageClass(pool.FindMessageTypeByName(kind))()
    return text_format.Parse(text, message)
