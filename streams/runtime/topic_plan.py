"""The topics as they should be against the topics as they are: what `clicktrail topics apply` would change, and what it will not.

A plan is data, so that a dry run shows exactly what a run does. Three kinds of steps: `create` and `change` are done; `refuse` names
what would break a promise, and why: nothing of a plan is done while one of its steps is refused. What needs a word of consent (a
retention that deletes what is kept now) is refused until `may_delete` is given. Settings that somebody made on a topic and that the
topology says nothing of stay as they are: AlterConfigs replaces all of them, so they are sent along.
"""

import asyncio
from typing import Any, NamedTuple

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import for_code

from streams.runtime import topics
from streams.runtime.errors import BadSettings
from streams.runtime.settings import Settings
from streams.topology import Topic

SET_ON_THE_TOPIC = 1  # DescribeConfigs' config_source of a topic's own setting; all others are the broker's
FOR_EVER = -1
KNOWN_S = 30


class Step(NamedTuple):
    """One difference. `kind` is create, change or refuse; `why` says what a refused one would break and what to do instead."""

    topic: str
    kind: str
    what: str
    now: str
    wanted: str
    why: str = ""


class Found(NamedTuple):
    """A topic as the broker has it."""

    state: topics.TopicState
    copies: int
    values: dict[str, str]  # what is in force
    own: dict[str, str]  # what is set on the topic itself


async def look(admin: AIOKafkaAdminClient, settings: Settings) -> list[Found]:
    """Return every topic of the topology as it is."""
    states = await topics.states(admin, settings)
    copies = {t["topic"]: min(len(p["replicas"]) for p in t["partitions"]) for t in await admin.describe_topics() if t["partitions"]}
    there = [state.topic.name for state in states if state.partitions]
    values: dict[str, dict[str, str]] = {}
    own: dict[str, dict[str, str]] = {}
    if there:
        asked = [ConfigResource(ConfigResourceType.TOPIC, name) for name in there]
        for response in await admin.describe_configs(asked):
            for _, _, _, name, entries in response.resources:
                values[name] = {entry[0]: entry[1] for entry in entries}
                own[name] = {entry[0]: entry[1] for entry in entries if entry[3] == SET_ON_THE_TOPIC}
    return [Found(s, copies.get(s.topic.name, 0), values.get(s.topic.name, {}), own.get(s.topic.name, {})) for s in states]


def plan(found: list[Found], settings: Settings, *, may_delete: bool = False) -> list[Step]:
    """Return the steps from what is there to what should be."""
    return [step for each in found for step in _steps(each, settings, may_delete)]


def _steps(found: Found, settings: Settings, may_delete: bool) -> list[Step]:
    name, state = found.state.topic.name, found.state
    wanted = topics.configuration(state.topic, settings)
    if state.state == "missing":
        said = f"{state.wanted} partitions x {settings.kafka.replication_factor}, " + ", ".join(f"{k}={v}" for k, v in wanted.items())
        return [Step(name, "create", "topic", "", said)]
    steps = []
    if state.state != "ok":
        steps.append(Step(name, "refuse", "partitions", str(state.partitions), str(state.wanted), _why_not_partitions(state)))
    if found.copies != settings.kafka.replication_factor:
        why = "Copies move data between brokers: use kafka-reassign-partitions (or Cruise Control), then apply again."
        steps.append(Step(name, "refuse", "replication factor", str(found.copies), str(settings.kafka.replication_factor), why))
    for key, value in wanted.items():
        if found.values.get(key) != value:
            steps.append(_config_step(state.topic, key, found.values.get(key, ""), value, may_delete))
    return steps


def _why_not_partitions(state: topics.TopicState) -> str:
    if state.state == "too_few":
        return (
            f"Its keys would go to other partitions than their state. `clicktrail topics grow --to {state.wanted}` moves both."
            if state.is_keyed
            else f"`clicktrail topics grow --to {state.wanted}` grows all topics together."
        )
    return f"Kafka cannot take partitions away, and its keys lie on all of them. Set CLICKTRAIL_PARTITIONS={state.partitions}."


def _config_step(topic: Topic, key: str, now: str, wanted: str, may_delete: bool) -> Step:
    if key == "cleanup.policy":
        why = (
            "Compaction would keep one record per key and delete the log's history."
            if topic.is_compacted
            else "A state or settings topic would lose keys that nobody wrote for a while, or a log its history."
        )
        return Step(topic.name, "refuse", key, now, wanted, why + " Make the topic anew under a raised CLICKTRAIL_KAFKA__EPOCH.")
    if key == "retention.ms" and _is_shorter(int(wanted), int(now or FOR_EVER)) and not may_delete:
        why = "Kafka would delete records that are kept now, for good. Give --may-delete if that is meant."
        return Step(topic.name, "refuse", key, now, wanted, why)
    return Step(topic.name, "change", key, now, wanted)


def _is_shorter(wanted_ms: int, now_ms: int) -> bool:
    return wanted_ms != FOR_EVER and (now_ms == FOR_EVER or wanted_ms < now_ms)


async def carry_out(admin: AIOKafkaAdminClient, found: list[Found], steps: list[Step], settings: Settings) -> None:
    """Do the steps. BadSettings, with nothing done, when one is refused."""
    if refused := [step for step in steps if step.kind == "refuse"]:
        first = refused[0]
        raise BadSettings(
            f"{first.topic}: {first.what} {first.now} -> {first.wanted} is refused ({len(refused)} refused, nothing was changed).",
            first.why,
        )
    if missing := [each.state for each in found if each.state.state == "missing"]:
        await topics.create(admin, missing, settings)
    changed = {step.topic for step in steps if step.kind == "change"}
    resources = [
        ConfigResource(ConfigResourceType.TOPIC, f.state.topic.name, f.own | topics.configuration(f.state.topic, settings))
        for f in found
        if f.state.topic.name in changed
    ]
    if resources:
        for response in await admin.alter_configs(resources):
            _refuse_errors(response)
    await _until_known(admin, settings)


async def _until_known(admin: AIOKafkaAdminClient, settings: Settings) -> None:
    """Return when the broker shows what it was told: it answers half a second before, and the next apply must see the truth."""
    async with asyncio.timeout(KNOWN_S):
        while any([step.kind != "refuse" for step in plan(await look(admin, settings), settings)]):  # noqa: ASYNC110,C419  Kafka tells nobody
            await asyncio.sleep(0.1)


def _refuse_errors(response: Any) -> None:
    for code, message, _, name in response.resources:
        if code:
            raise BadSettings(f"Kafka refused to change {name}: {message or for_code(code).__name__}.")
