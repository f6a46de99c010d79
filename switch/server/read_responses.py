"""What was read, as the octets of ReadResponses of a bounded size."""

from collections.abc import Iterable, Iterator

from finsy.proto import p4r

from switch.server.native_reads import ENTITIES_PER_RESPONSE, OCTETS_PER_RESPONSE


def responses(entities: Iterable[p4r.Entity | bytes]) -> Iterator[bytes]:
    """In their order; octets among them are responses already."""
    batch: list[p4r.Entity] = []
    room = OCTETS_PER_RESPONSE
    for entity in entities:
        octets = isinstance(entity, bytes)
        size = 0 if octets else entity.ByteSize()
        if batch and (octets or len(batch) == ENTITIES_PER_RESPONSE or size > room):
            yield _encoded(batch)
            batch, room = [], OCTETS_PER_RESPONSE
        if octets:
            yield entity
        else:
            batch.append(entity)
            room -= size
    if batch:
        yield _encoded(batch)


def _encoded(batch: list[p4r.Entity]) -> bytes:
    return p4r.ReadResponse(entities=batch).SerializeToString()
