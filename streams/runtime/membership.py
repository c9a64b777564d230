"""Who may commit: a member of the group in its generation, checked by the broker at the moment of the commit (KIP-447).

Why: with a transactional producer per partition, a new owner fenced the old one by `InitProducerId`, and a trickle over 12 partitions in
two roles was 240 transactions a second, five requests and a marker per written partition each: 1.9 cores for 1,000 payloads/s. With one
producer per worker it is 20 to 40 transactions, and the fence must be another one: a worker whose partitions were given to somebody
else is of an old generation (or its instance has a new member), and the broker refuses its offsets, and with them its transaction.

What a new owner must wait for is an old owner's transaction that holds offsets of its partitions and is not decided yet: `until_stable`
asks for the offsets with `require_stable`. A transaction that has not sent its offsets by then never will commit.

aiokafka 0.14 speaks neither `TxnOffsetCommit` 3 nor `OffsetFetch` 7, which carry this. They are written down here as data, with its own
types and its own connections and retries.
"""

import asyncio
import time
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any, ClassVar, NamedTuple

import structlog
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.client import ConnectionGroup, CoordinationType
from aiokafka.errors import KafkaError, for_code
from aiokafka.producer.sender import Sender, TxnOffsetCommitHandler
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Boolean, CompactArray, CompactString, Int16, Int32, Int64, Schema, TaggedFields

from streams.runtime import hanging

log = structlog.get_logger(__name__)

TEXT = CompactString("utf-8")
UNSTABLE_OFFSET_COMMIT = 88  # not among aiokafka's errors
POLL_S = 0.05
TELL_S = 20  # twice the transactions' timeout: by then each should be decided
HANGING = "kafka-transactions.sh find-hanging --broker-id …, then abort: see `What is guaranteed` in README.md"
NO_TAGS: dict[int, bytes] = {}


class Member(NamedTuple):
    """One worker in one generation of its group."""

    group: str
    generation: int
    member_id: str
    instance: str


class _CommitResponse(Response):  # type: ignore[misc]  # aiokafka is untyped here
    API_KEY = 28
    API_VERSION = 3
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("errors", CompactArray(
            ("topic", TEXT), ("partitions", CompactArray(("partition", Int32), ("error_code", Int16), ("tags", TaggedFields))), ("tags", TaggedFields),
        )),
        ("tags", TaggedFields),
    )  # fmt: skip


class _CommitStruct(RequestStruct):  # type: ignore[misc]  # aiokafka is untyped here
    API_KEY = 28
    API_VERSION = 3
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _CommitResponse
    SCHEMA = Schema(
        ("transactional_id", TEXT), ("group_id", TEXT), ("producer_id", Int64), ("producer_epoch", Int16),
        ("generation_id", Int32), ("member_id", TEXT), ("group_instance_id", TEXT),
        ("topics", CompactArray(
            ("topic", TEXT),
            ("partitions", CompactArray(
                ("partition", Int32), ("offset", Int64), ("leader_epoch", Int32), ("metadata", TEXT), ("tags", TaggedFields),
            )),
            ("tags", TaggedFields),
        )),
        ("tags", TaggedFields),
    )  # fmt: skip


class _OffsetsResponse(Response):  # type: ignore[misc]  # aiokafka is untyped here
    API_KEY = 9
    API_VERSION = 7
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("topics", CompactArray(
            ("topic", TEXT),
            ("partitions", CompactArray(
                ("partition", Int32), ("offset", Int64), ("leader_epoch", Int32), ("metadata", TEXT), ("error_code", Int16), ("tags", TaggedFields),
            )),
            ("tags", TaggedFields),
        )),
        ("error_code", Int16), ("tags", TaggedFields),
    )  # fmt: skip


class _OffsetsStruct(RequestStruct):  # type: ignore[misc]  # aiokafka is untyped here
    API_KEY = 9
    API_VERSION = 7
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _OffsetsResponse
    SCHEMA = Schema(
        ("group_id", TEXT),
        ("topics", CompactArray(("topic", TEXT), ("partitions", CompactArray(Int32)), ("tags", TaggedFields))),
        ("require_stable", Boolean), ("tags", TaggedFields),
    )  # fmt: skip


class _Commit(Request[_CommitStruct]):  # type: ignore[misc]
    API_KEY: ClassVar[int] = 28

    def __init__(self, transaction: Any, member: Member, offsets: dict[TopicPartition, Any]) -> None:
        self._transaction = transaction
        self._member = member
        self._topics = [
            (topic, [(at.partition, offsets[at].offset, -1, offsets[at].metadata, NO_TAGS) for at in found], NO_TAGS)
            for topic, found in _by_topic(offsets).items()
        ]

    def build(self, request_struct_class: type[_CommitStruct]) -> _CommitStruct:
        transaction, member = self._transaction, self._member
        return request_struct_class(
            transaction.transactional_id, member.group, transaction.producer_id, transaction.producer_epoch,
            member.generation, member.member_id, member.instance, self._topics, NO_TAGS,
        )  # fmt: skip


class _Offsets(Request[_OffsetsStruct]):  # type: ignore[misc]
    API_KEY: ClassVar[int] = 9

    def __init__(self, group: str, inputs: Iterable[TopicPartition]) -> None:
        self._group = group
        self._topics = [(topic, [at.partition for at in found], NO_TAGS) for topic, found in _by_topic(inputs).items()]

    def build(self, request_struct_class: type[_OffsetsStruct]) -> _OffsetsStruct:
        return request_struct_class(self._group, self._topics, True, NO_TAGS)


def _by_topic(inputs: Iterable[TopicPartition]) -> dict[str, list[TopicPartition]]:
    found: dict[str, list[TopicPartition]] = {}
    for at in sorted(inputs):
        found.setdefault(at.topic, []).append(at)
    return found


class _CommitHandler(TxnOffsetCommitHandler):  # type: ignore[misc]
    """aiokafka's handling of a TxnOffsetCommit, with the member in the request. A refused member raises: the process ends."""

    def __init__(self, sender: Sender, offsets: dict[TopicPartition, Any], member: Member) -> None:
        super().__init__(sender, offsets, member.group)
        self._member = member

    def create_request(self) -> _Commit:
        return _Commit(self._sender._txn_manager, self._member, self._offsets)  # noqa: SLF001

    def handle_response(self, response: Any) -> float | None:
        plain = [(topic, [(partition, code) for partition, code, _ in partitions]) for topic, partitions, _ in response.errors]
        backoff: float | None = super().handle_response(SimpleNamespace(errors=plain))
        return backoff


def commit_as(producer: AIOKafkaProducer, member: Member) -> None:
    """From now on, this producer's transactions commit their offsets as `member`."""
    sender: Any = producer._sender  # noqa: SLF001  aiokafka has no other way in

    async def commit(offsets: dict[TopicPartition, Any], group: str) -> None:
        if offsets:
            node = await sender._find_coordinator(CoordinationType.GROUP, group)  # noqa: SLF001
            await _CommitHandler(sender, offsets, member).do(node)

    sender._do_txn_offset_commit = commit  # noqa: SLF001


async def until_stable(producer: AIOKafkaProducer, group: str, inputs: Iterable[TopicPartition]) -> None:
    """Return when no undecided transaction holds offsets of these partitions: what is committed then stays until we commit."""
    request = _Offsets(group, inputs)
    tells_at = time.monotonic() + TELL_S
    sender: Any = producer._sender  # noqa: SLF001
    while True:
        try:
            node = await sender._find_coordinator(CoordinationType.GROUP, group)  # noqa: SLF001
            response = await producer.client.send(node, request, group=ConnectionGroup.COORDINATION)
            code = _worst(response)
            if not code:
                return
            if code != UNSTABLE_OFFSET_COMMIT:
                raise for_code(code)
            if time.monotonic() > tells_at:
                tells_at = time.monotonic() + TELL_S
                await _end_hanging(producer, node, group, _unstable(response))
        except KafkaError as error:
            if not error.retriable:
                raise
            sender._coordinator_dead(CoordinationType.GROUP)  # noqa: SLF001
        await asyncio.sleep(POLL_S)


async def _end_hanging(producer: AIOKafkaProducer, node: int, group: str, partitions: list[str]) -> None:
    """By now each transaction should be decided: one that nobody will decide is aborted, and if that is not ours to do, a person is told how."""
    try:
        ended = await hanging.end(producer.client, node, hanging.LONGEST_MS)
    except KafkaError as error:
        log.warning("an undecided transaction holds offsets", group=group, partitions=partitions, remedy=HANGING, error=repr(error))
    else:
        if not ended:
            log.info("an undecided transaction holds offsets; its coordinator will decide it", group=group, partitions=partitions)


def _unstable(response: Any) -> list[str]:
    """Which partitions an undecided transaction holds."""
    return [f"{topic}-{found[0]}" for topic, partitions, _ in response.topics for found in partitions if found[4] == UNSTABLE_OFFSET_COMMIT]


def _worst(response: Any) -> int:
    """The error code of an OffsetFetch; one that waiting does not cure goes before UNSTABLE_OFFSET_COMMIT, 0 is none."""
    codes = {response.error_code, *(partition[4] for _, partitions, _ in response.topics for partition in partitions)} - {0}
    return int(min(codes, key=lambda code: code == UNSTABLE_OFFSET_COMMIT)) if codes else 0
