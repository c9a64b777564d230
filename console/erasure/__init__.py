"""Forgetting a person: `clicktrail erase`. Their records are *rewritten*, in the log, in state and in ClickHouse; nothing of theirs stays readable.

**Why rewriting.** The alternative is a key per person, destroyed on demand. Measured: 8 us a payload of the 40 that one may cost, paid by everybody,
always, and the sink could no longer splice rows it does not read. Erasure is rare, and costs only whoever asks for it: one reading of the topics.

**How the log forgets and keeps its offsets.** An offset is the identity of an event, and ClickHouse knows rows by it, so a topic cannot be copied. But
compaction takes single records out and moves no other. So every record of the log has a key of its own (`streams/runtime/unique.py`, 0.2 us a
record and some 8 bytes compressed), the topics are not compacted, and an erasure makes them so for the minute that it lasts:

    1  find      the records that name the person, the clicks that were theirs, the events of these clicks
    2  replace   in one Kafka transaction: a payload and a postback request get a tombstone under their key, a row, a visit and a try
                 their redacted self (`streams/redaction.py`), states their keys without the person; and a row for the activity log
    3  rows      the redacted records go to ClickHouse as the sink would bring them, the rows of the old ones are deleted; rows whose
                 records the log has dropped are updated in place; old parts go. No statement names the person: rows are named by offset
    4  forget    local state folders (a cache), what lookups, matches and deliveries have handed on
    5  compact   each partition concerned, until the old records are seen to be gone; then the topics are as they were

**Killed anywhere, it is run again**: until 5 is through, the old records are still there to be found, and beside each stands what took its place. So
the log itself is the plan, and there is no other file. It is done while the roles with state and the sink are stopped, as `topics grow` is.

**What stands:** statuses, reasons, values, counts, and that a retry is a duplicate; `doctor --conservation`; a `rebuild` makes the same rows. **What
does not:** an erased payload can't heal or be judged again, its postbacks are not sent again; by an erased click id nothing is found or deduplicated.

**What is left alone:** settings and the activity log (who works here, whom a rule blocks; both are named in the answer, for a person to decide), files that
somebody exported, backups. Kafka deletes what 4 cut off at its next retention check, five minutes later by its default.
"""
