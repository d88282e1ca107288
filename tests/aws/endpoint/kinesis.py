"""Applies encryption and a changed number of shards to Kinesis streams."""

from ministack.services import kinesis
from ministack.services.cloudformation import provisioners

from .patching import patch


@patch
def kinesis_stream():
    """Adds encryption and resharding to the handler of streams."""
    handler = provisioners._RESOURCE_HANDLERS["AWS::Kinesis::Stream"]
    create_before, update_before = handler["create"], handler["update"]

    def encrypt(physical_id, properties):
        stream, encryption = kinesis._streams.get(physical_id), properties.get("StreamEncryption")
        if stream is None:
            return
        stream["EncryptionType"] = encryption["EncryptionType"] if encryption else "NONE"
        if encryption:
            stream["KeyId"] = encryption.get("KeyId")
        else:
            stream.pop("KeyId", None)

    def create(logical_id, properties, stack_name):
        physical_id, attributes = create_before(logical_id, properties, stack_name)
        encrypt(physical_id, properties)
        return physical_id, attributes

    def update(physical_id, old, new, stack_name):
        result = update_before(physical_id, old, new, stack_name)
        if result[0] == physical_id and new.get("ShardCount") not in (None, old.get("ShardCount")):
            request = {"StreamName": physical_id, "ScalingType": "UNIFORM_SCALING"}
            answer = kinesis._update_shard_count(request | {"TargetShardCount": int(new["ShardCount"])})
            if isinstance(answer, tuple) and answer[0] >= 400:
                raise ValueError(str(answer[2]))
        encrypt(result[0], new)
        return result

    handler.update(create=create, update=update)
