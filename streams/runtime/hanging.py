"""Ends a hanging transaction: offsets that a broker still holds for a transaction of which its coordinator knows nothing (KIP-664).

Seen after a broker was stopped under a load of 20 on two cores, in 2 of some 15 restarts: `__consumer_offsets` had a transaction open for a producer's epoch
15, and the coordinator said of that producer that it was Empty at 16. Nobody ever decides such a transaction, so whoever waits for its
offsets waits for ever. Kafka has the tool (`kafka-transactions.sh abort`); this is the same question and the same answer, asked by the role
that waits: what is open for longer than any transaction of ours may last, and is ongoing at no coordinator, is aborted. Its offsets were
not committed, so its records are judged again, once.

It takes the right `ClusterAction`, which roles do not have where ACLs are kept (deploy/k8s): there the answer is a refusal, and a person's.
"""

import time
from typing import Any, ClassVar, NamedTuple

import structlog
from aiokafka.errors import for_code
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Boolean, CompactArray, CompactString, Int16, Int32, Int64, Schema, TaggedFields

log = structlog.get_logger(__name__)

OFFSETS = "__consumer_offsets"
LONGEST_MS = 20_000  # open and undecided for so long: twice what a transaction of ours may last
UNDECIDED = frozenset(["Ongoing", "PrepareCommit", "PrepareAbort", "PrepareEpochFence"])  # their coordinator will end them
TEXT = CompactString("utf-8")
NO_TAGS: dict[int, bytes] = {}
TAGS = ("tags", TaggedFields)


class Open(NamedTuple):
    """A transaction that a partition holds open."""

    partition: int
    producer_id: int
    epoch: int
    coordinator_epoch: int


class _ProducersResponse(Response):  # type: ignore[misc]  # aiokafka is untyped here
    API_KEY = 61
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("topics", CompactArray(
            ("topic", TEXT),
            ("partitions", CompactArray(
                ("partition", Int32), ("error_code", Int16), ("error_message", TEXT),
                ("producers", CompactArray(
                    ("producer_id", Int64), ("epoch", Int32), ("last_sequence", Int32), ("last_timestamp", Int64), ("coordinator_epoch", Int32),
                    ("start_offset", Int64), TAGS,
                )),
                TAGS,
            )),
            TAGS,
        )),
        TAGS,
    )  # fmt: skip


class _ProducersStruct(RequestStruct):  # type: ignore[misc]
    API_KEY = 61
    API_VERSION = 0
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _ProducersResponse
    SCHEMA = Schema(("topics", CompactArray(("topic", TEXT), ("partitions", CompactArray(Int32)), TAGS)), TAGS)


class _TransactionsResponse(Response):  # type: ignore[misc]
    API_KEY = 66
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32), ("error_code", Int16), ("unknown_filters", CompactArray(TEXT)),
        ("transactions", CompactArray(("transactional_id", TEXT), ("producer_id", Int64), ("state", TEXT), TAGS)), TAGS,
    )  # fmt: skip


class _TransactionsStruct(RequestStruct):  # type: ignore[misc]
    API_KEY = 66
    API_VERSION = 0
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _TransactionsResponse
    SCHEMA = Schema(("states", CompactArray(TEXT)), ("producer_ids", CompactArray(Int64)), TAGS)


class _MarkersResponse(Response):  # type: ignore[misc]
    API_KEY = 27
    API_VERSION = 1
    SCHEMA = Schema(
        ("markers", CompactArray(
            ("producer_id", Int64),
            ("topics", CompactArray(("topic", TEXT), ("partitions", CompactArray(("partition", Int32), ("error_code", Int16), TAGS)), TAGS)),
            TAGS,
        )),
        TAGS,
    )  # fmt: skip


class _MarkersStruct(RequestStruct):  # type: ignore[misc]
    API_KEY = 27
    API_VERSION = 1
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _MarkersResponse
    SCHEMA = Schema(
        ("markers", CompactArray(
            ("producer_id", Int64), ("epoch", Int16), ("is_commit", Boolean),
            ("topics", CompactArray(("topic", TEXT), ("partitions", CompactArray(Int32)), TAGS)), ("coordinator_epoch", Int32), TAGS,
        )),
        TAGS,
    )  # fmt: skip


class _Producers(Request[_ProducersStruct]):  # type: ignore[misc]
    API_KEY: ClassVar[int] = 61

    def __init__(self, partitions: list[int]) -> None:
        self._topics = [(OFFSETS, partitions, NO_TAGS)]

    def build(self, request_struct_class: type[_ProducersStruct]) -> _ProducersStruct:
        return request_struct_class(self._topics, NO_TAGS)


class _Transactions(Request[_TransactionsStruct]):  # type: ignore[misc]
    API_KEY: ClassVar[int] = 66

    def __init__(self, producer_ids: list[int]) -> None:
        self._producer_ids = producer_ids

    def build(self, request_struct_class: type[_TransactionsStruct]) -> _TransactionsStruct:
        return request_struct_class([], self._producer_ids, NO_TAGS)


class _Markers(Request[_MarkersStruct]):  # type: ignore[misc]
    API_KEY: ClassVar[int] = 27

    def __init__(self, found: list[Open]) -> None:
        self._markers = [
            (one.producer_id, one.epoch, False, [(OFFSETS, [one.partition], NO_TAGS)], max(0, one.coordinator_epoch), NO_TAGS) for one in found
        ]  # fmt: skip

    def build(self, request_struct_class: type[_MarkersStruct]) -> _MarkersStruct:
        return request_struct_class(self._markers, NO_TAGS)


async def end(client: Any, node: int, longest_ms: int) -> list[Open]:
    """Abort what hangs on the offsets partitions that this broker leads; returns it. KafkaError when a broker does not answer or refuses."""
    cluster = await client.fetch_all_metadata()
    led = [at.partition for at in cluster.partitions_for_broker(node) or () if at.topic == OFFSETS]
    found = await _open(client, node, led, longest_ms)
    for broker in cluster.brokers() if found else ():
        states = await client.send(broker.nodeId, _Transactions(sorted({one.producer_id for one in found})))
        if states.error_code:
            raise for_code(states.error_code)
        decided_later = {producer_id for _, producer_id, state, _ in states.transactions if state in UNDECIDED}
        found = [one for one in found if one.producer_id not in decided_later]
    if found:
        response = await client.send(node, _Markers(found))
        codes = {code for _, topics, _ in response.markers for _, partitions, _ in topics for _, code, _ in partitions} - {0}
        if codes:
            raise for_code(min(codes))
        log.warning(
            "hanging transactions were aborted", transactions=[f"{OFFSETS}-{one.partition}: {one.producer_id}@{one.epoch}" for one in found]
        )
    return found


async def _open(client: Any, node: int, partitions: list[int], longest_ms: int) -> list[Open]:
    """What these partitions have held open for so long."""
    response = await client.send(node, _Producers(partitions))
    before_ms = time.time_ns() // 1_000_000 - longest_ms
    return [
        Open(partition, producer_id, epoch, coordinator_epoch)
        for _, places, _ in response.topics
        for partition, _, _, producers, _ in places
        for producer_id, epoch, _, last_ms, coordinator_epoch, start, _ in producers
        if start >= 0 and last_ms < before_ms
    ]
