"""The spool: what the gateway saw, on local disk before the client has the whole answer.

Append-only JSON Lines segments in one folder, written by one process each:

    append() = write() to the open segment → fsync by the group, beside it → sealed

A record is safe from a kill of the process once `append` returns (the operating system has it) and
safe from a power cut after the next group fsync. Nobody waits for the fsync.

A segment that is being written is called `*.jsonl.open` and is locked by its writer; a sealed one
is `*.jsonl` and never changes. A writer that died leaves its segment unlocked: `seal_stale` cuts
a torn last line off and seals it.
"""

from tuneloop.storage.spool.records import (
    CLIENT_LEFT,
    Account,
    Feedback,
    Interaction,
    Record,
    Shadow,
    encode,
    iso_time,
    new_id,
)
from tuneloop.storage.spool.segments import (
    Segment,
    StaleSeal,
    read_segment,
    remove,
    seal_stale,
    sealed_segments,
)
from tuneloop.storage.spool.writer import DropReason, Spool, SpoolLimits

__all__ = [
    "CLIENT_LEFT",
    "Account",
    "DropReason",
    "Feedback",
    "Interaction",
    "Record",
    "Segment",
    "Shadow",
    "Spool",
    "SpoolLimits",
    "StaleSeal",
    "encode",
    "iso_time",
    "new_id",
    "read_segment",
    "remove",
    "seal_stale",
    "sealed_segments",
]
