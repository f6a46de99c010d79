"""What puts an update's entity back as it was: the same entity, as it is read before the update is made."""

from finsy.proto import p4r

from switch.errors import EngineError
from switch.server import read
from switch.server.pipeline import Pipeline
from switch.server.status import RequestError

INSERT, MODIFY, DELETE = p4r.Update.INSERT, p4r.Update.MODIFY, p4r.Update.DELETE


def undo_of(pipeline: Pipeline, update: p4r.Update) -> list[p4r.Update]:
    """To be asked before the update is made. Empty if the update can only fail."""
    if update.type == INSERT:
        return [p4r.Update(type=DELETE, entity=update.entity)]
    try:
        before = _before(pipeline, update)
    except (RequestError, EngineError):
        return []
    kind = INSERT if update.type == DELETE else MODIFY
    return [p4r.Update(type=kind, entity=entity) for entity in before]


def _before(pipeline: Pipeline, update: p4r.Update) -> list[p4r.Entity]:
    if update.entity.WhichOneof("entity") != "table_entry":
        return list(read.entities(pipeline, update.entity))
    entry = update.entity.table_entry
    if entry.is_default_action:
        wanted = p4r.TableEntry(table_id=entry.table_id, is_default_action=True)
        # A table may be without any default action; that is also what is written to have none.
        found = list(read.entities(pipeline, p4r.Entity(table_entry=wanted)))
        message = found[0].table_entry if found else wanted
    else:
        # A counter that the update does not touch goes on; a meter is always written.
        wanted = p4r.TableEntry(meter_config=p4r.MeterConfig())
        if update.type == DELETE or entry.HasField("counter_data"):
            wanted.counter_data.SetInParent()
        wanted.MergeFrom(p4r.TableEntry(table_id=entry.table_id, match=entry.match, priority=entry.priority))
        message = read.table_entry(pipeline, wanted)
    if message.is_const:
        message.ClearField("action")  # which may not be written, not even as it is
        message.ClearField("is_const")
    return [p4r.Entity(table_entry=message)]
