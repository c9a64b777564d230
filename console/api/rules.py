"""Rules tried out, with nothing written: a pasted payload under a mapping, stored payloads under a change."""

import base64
import binascii
import time
from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from console import editing, inspecting, masking, replaying, whatif
from console.api.settings import account_of
from console.apply import Entities
from console.explaining import explained
from console.replaying import Given
from console.server.answers import Refused
from console.server.openapi import shape
from console.server.route import Ask, Route
from schemas.entities import ENTITY_MODELS
from schemas.event import CONTENT_TYPE, METHOD, QUERY
from streams.runtime.errors import Unavailable, near_match
from streams.workspace import SettingsRefused

DRAFT = "draft"
LARGEST_PAYLOAD = 1 << 20
READ_S = 5.0
FIELDS = (
    "conversion_name", "original_name", "conversion_status", "original_status", "value", "currency", "transaction_id", "reference", "click_id",
    "click_param", "click_problem", "ip", "is_test", "property_id", "event_ms", "ref_text", "problem",
)  # fmt: skip


class Trial(BaseModel):
    """A payload as it would come in, and a source: one that is there, or a draft of one."""

    model_config = ConfigDict(extra="forbid")
    payload: str = Field(default="", max_length=LARGEST_PAYLOAD, description="the body, or for GET the query string")
    payload_b64: str = Field(default="", max_length=2 * LARGEST_PAYLOAD, description="instead of payload, where it is no text")
    source: str = Field(default="", max_length=64, description="a source's id")
    draft: dict[str, Any] | None = Field(default=None, description="a source as it shall be; its id may be left out")
    method: str = Field(default="POST", pattern="^(GET|POST)$")
    content_type: str = Field(default="", max_length=200)
    query: str = Field(default="", max_length=20_000, description="the query string of a POST that has one")


class RuleChange(BaseModel):
    """What an entity shall be for the trial; null takes it away."""

    model_config = ConfigDict(extra="forbid")
    entity: str = Field(max_length=40)
    entity_id: str = Field(min_length=1, max_length=64)
    value: dict[str, Any] | None


class WhatIf(BaseModel):
    """Which stored payloads (filters of the event log), and which rules."""

    model_config = ConfigDict(extra="forbid")
    filters: dict[str, str | list[str]] = Field(default_factory=dict, max_length=30)
    changes: list[RuleChange] = Field(default_factory=list, max_length=50)
    limit: int = Field(default=5_000, ge=1, le=50_000, description="of payloads, the newest first")


async def test_mapping(ask: Ask) -> dict[str, Any]:
    """Return what a payload is read as, and the verdict that it would get now: with the clicks and earlier payloads that are there."""
    trial, context = ask.body, ask.context
    changes, source_id = _draft(ask, trial)
    _allow(ask, {("source", source_id): changes.get(("source", source_id)) or ask.context.following.entities["source", source_id]})
    workspace = _workspace(ask, changes)
    given = Given(source_id, _bytes(trial), int(time.time() * 1000), _headers(trial))
    key = context.settings.pii_secret()
    blind, memory = await replaying.judged([given], workspace, [], key)
    parsed = memory.parser.parse(next(record for (topic, _), log in memory.log.items() if topic.endswith("payloads.v1") for record in log))
    accounts, now_ms = ask.viewer.accounts, given.received_ms
    wanted = replaying.asked_for(memory)
    visits = (
        await replaying.visits_of(context.asker, wanted, accounts, now_ms - replaying.look_back_ms(workspace), now_ms + 1) if wanted else []
    )
    notes, earlier = [], list[Given]()
    rows = [row for question in replaying.relatives([parsed], accounts, now_ms) for row in await context.asker.rows(question)]
    if rows:
        try:
            earlier, missing = await replaying.stored(context.records, rows, READ_S)
            notes += [f"{missing} earlier payloads are not in Kafka any more."] if missing else []
        except Unavailable:
            notes.append("Kafka does not answer: earlier payloads were left out, so a duplicate is not seen.")
    final, _ = await replaying.judged([*earlier, given], workspace, visits, key)
    (found,) = [each for each in final if each.given is given] or blind
    row = found.row
    return {
        "parsed": {name: parsed[name] for name in FIELDS},  # type: ignore[literal-required]
        "parameters": row["parameters"],
        "verdict": {name: value for name, value in row.items() if name not in {"payload", "payload_b64", "parameters"}},
        "explanation": explained(row),
        "attribution": inspecting.attribution(row),
        "duplicate": inspecting.duplicate(row),
        "postbacks": [{name: request[name] for name in ("destination_id", "kind", "ct", "value", "currency", "click_id")} for request in found.postbacks],
        "used": {"visits": len(visits), "earlier_payloads": len(earlier)},
        "notes": notes,
    }  # fmt: skip


async def what_if(ask: Ask) -> dict[str, Any]:
    """Return the matrix of old status x new status, the money that would move, and samples."""
    return await tried(ask)(lambda _, __: None)


def tried(ask: Ask) -> Callable[[whatif.Progress], Awaitable[dict[str, Any]]]:
    """Return the work that answers, for whoever wants to hear how far it is. Refused for a rule that is none, or not the viewer's."""
    wish, context = ask.body, ask.context
    entities = context.following.entities
    changes: Entities = {}
    for change in wish.changes:
        if change.entity not in ENTITY_MODELS or change.entity in {"user", "token"}:
            near = near_match(change.entity, list(ENTITY_MODELS))
            raise Refused("invalid", f"There is no rule {change.entity!r}.", near)
        key = (change.entity, change.entity_id)
        changes[key] = None if change.value is None else _wanted(*key, change.value, {**entities, **changes})  # type: ignore[assignment]
    _allow(ask, changes)
    _workspace(ask, changes)
    question = whatif.Tried(wish.filters, ask.viewer.accounts, entities, changes, wish.limit)

    async def work(progress: whatif.Progress) -> dict[str, Any]:
        found = await whatif.answer(question, context.asker, context.records, context.settings.pii_secret(), progress)
        masked: dict[str, Any] = masking.deep(found)
        return masked

    return work


def _allow(ask: Ask, changes: Entities) -> None:
    """Whoever is limited to accounts tries rules of those."""
    for (kind, entity_id), value in changes.items():
        known = value or ask.context.following.entities.get((kind, entity_id), {})
        if ask.viewer.accounts is not None and account_of(ask, kind, entity_id, known) not in ask.viewer.accounts:
            raise Refused("other_account", "This belongs to all accounts, or to one that is not yours.")


def _draft(ask: Ask, trial: Trial) -> tuple[Entities, str]:
    """The draft laid over the settings, and the id of the source that is tried."""
    entities = ask.context.following.entities
    if trial.draft is None:
        if ("source", trial.source) not in entities:
            known = [name for kind, name in entities if kind == "source"]
            near = near_match(trial.source, known) or f"The sources are: {', '.join(known[:20])}."
            raise Refused("not_found", f"There is no source {trial.source[:64]!r}.", near)
        return {}, trial.source
    source_id = str(trial.draft.get("id") or trial.source or DRAFT)
    value = {"name": source_id, **trial.draft, "id": source_id}
    return {("source", source_id): _wanted("source", source_id, value, entities)}, source_id


def _wanted(entity: str, entity_id: str, value: dict[str, Any], entities: Entities) -> dict[str, Any]:
    try:
        return editing.wanted(entity, entity_id, value, {key: found for key, found in entities.items() if found is not None})
    except editing.NotValid as error:
        raise Refused("invalid", error.what) from error


def _workspace(ask: Ask, changes: Entities) -> Any:
    """The settings with the changes."""
    try:
        return replaying.workspace_of(ask.context.following.entities, changes)
    except SettingsRefused as error:
        raise Refused("invalid", str(error)) from error


def _bytes(trial: Trial) -> bytes:
    if not trial.payload_b64:
        return trial.payload.encode()
    try:
        return base64.b64decode(trial.payload_b64, validate=True)
    except binascii.Error as error:
        raise Refused("bad_body", "payload_b64 is no base64.") from error


def _headers(trial: Trial) -> dict[str, str]:
    given = {METHOD: trial.method, CONTENT_TYPE: trial.content_type, QUERY: trial.query}
    return {name: text for name, text in given.items() if text}


ROUTES = (
    Route("POST", "/api/v1/mapping/test", test_mapping, "try_rules", "What a payload would be read as, and its verdict; nothing is written", body=Trial,
          refusals=("not_found", "invalid"), answer=shape("parsed", "verdict", "explanation", "used")),
    Route("POST", "/api/v1/whatif", what_if, "try_rules", "What a change of rules would have done to stored payloads", body=WhatIf,
          refusals=("invalid", "too_much"), answer=shape("total", "judged", "matrix", "money", "samples", "not_reproduced")),
)  # fmt: skip
