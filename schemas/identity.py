"""Names that are computed, never given: an event's id and a payload's home.

An event's id *is* its coordinates in the log (topic epoch, partition, offset). A random id would make a second row when a record is
processed again after a crash; this one makes the same row, and whoever holds an id can fetch the bytes without an index.

A payload's home is the key under which everything that may touch its identity meets: ingest produces with it, the ledger answers to it.
"""

from hashlib import sha256

LONGEST_KEY = 200  # characters of a business id inside a routing key; a longer one is replaced by its hash


def event_id(epoch: int, partition: int, offset: int) -> str:
    """The id of the payload at these coordinates of clicktrail.payloads.v1; the epoch changes when the topic is made anew."""
    return f"e{epoch}-{partition}-{offset}"


def coordinates(event_id: str) -> tuple[int, int, int]:
    """(epoch, partition, offset) of an event id. ValueError when the text is no event id."""
    epoch, partition, offset = event_id.removeprefix("e").split("-")
    if event_id != f"e{int(epoch)}-{int(partition)}-{int(offset)}":
        raise ValueError(f"{event_id!r} is no event id; one looks like e1-4-1027")
    return int(epoch), int(partition), int(offset)


def home_of(
    account_id: str,
    property_id: str,
    reference: str | None,
    transaction_id: str | None,
    click_id: str | None,
    payload_sha256: str,
    referee: str | None = None,
) -> str:
    """Routing key: the business id that the payload is about, else its click id, else its hash, within account and property.

    A reference goes before the payload's own transaction id: a refund with an id of its own must meet the sale that it refunds. Where a
    source records one referral per customer, all of a customer (`referee`, a keyed hash) must meet.
    """
    subject = (referee and f"referee:{referee}") or reference or transaction_id or click_id or payload_sha256
    if len(subject) > LONGEST_KEY:
        subject = sha256(subject.encode("utf-8", "replace")).hexdigest()
    return f"{account_id}|{property_id}|{subject}"
