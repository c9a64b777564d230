"""What-if: choose stored payloads and one changed rule, and see what would have become of them; nothing is written."""

import asyncio
import dataclasses
from decimal import Decimal
from typing import Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from console.api import rules
from console.api import settings as api
from console.pages import drawing
from console.pages.settings import ABOUT, MOST_TEXT, parsed, problems
from console.server.answers import Refused
from console.server.jobs import Job
from console.server.route import Ask, Parameter, Route
from schemas.reasons import STATUSES
from streams.runtime.errors import BadSettings
from streams.runtime.settings_diff import hide_secrets

KIND = "what-if"
SHORT_S = 0.7
RULES = ("source", "property")
CHOSEN = Parameter("rule", "what is changed: source/network")
FILTERS = ("from", "to", "source", "status", "reason")


class Question(BaseModel):
    """The form: which rule, its value, and which payloads."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)
    rule: str = Field(max_length=140)
    value: str = Field(max_length=MOST_TEXT)
    from_: str = Field(default="", alias="from", max_length=60)
    to: str = Field(default="", max_length=60)
    source: str = Field(default="", max_length=200)
    status: str = Field(default="", max_length=60)
    reason: str = Field(default="", max_length=200)
    limit: str = Field(default="2000", pattern="^[0-9]{1,5}$")


class Nothing(BaseModel):
    """A form that has only the page's token."""

    model_config = ConfigDict(extra="forbid")


async def page(ask: Ask) -> Any:
    """Draw the form with the value of the rule that is chosen."""
    entities = ask.context.following.entities
    known = [
        f"{kind}/{entity_id}"
        for kind in RULES
        for entity, entity_id in sorted(entities)
        if entity == kind and _is_seen(ask, kind, entity_id)
    ]
    chosen = ask.text("rule") if ask.text("rule") in known else (known[0] if known else "")
    kind, _, entity_id = chosen.partition("/")
    return drawing.page(
        ask, "whatif.html", known=known, chosen=chosen, value=hide_secrets(entities.get((kind, entity_id), {})), about=ABOUT
    )


async def answer(ask: Ask) -> web.StreamResponse:
    """Draw the matrix, the money that would move, and what would change."""
    form: Question = ask.body
    kind, _, entity_id = form.rule.partition("/")
    given = {name: text for name, text in form.model_dump(by_alias=True).items() if name in FILTERS and text}
    try:
        change = rules.RuleChange(entity=kind, entity_id=entity_id, value=parsed(form.value))
        wish = rules.WhatIf(filters=given, changes=[change], limit=max(1, min(int(form.limit), 50_000)))
        started = ask.context.jobs.start(KIND, ask.viewer.user_id, 0, rules.tried(dataclasses.replace(ask, body=wish)))
    except (Refused, BadSettings) as error:
        return problems(ask, error, form.value)
    return await _drawn(ask, started)


async def job(ask: Ask) -> web.StreamResponse:
    """Draw how far it is, or the answer."""
    return await _drawn(ask, _own(ask))


async def cancel(ask: Ask) -> web.StreamResponse:
    """End it."""
    found = _own(ask)
    if found.task is not None:
        found.task.cancel()
    return await _drawn(ask, found)


def _own(ask: Ask) -> Job:
    found = ask.context.jobs.get(ask.path["job_id"], ask.viewer.user_id, sees_all=False)
    if found.kind != KIND:
        raise Refused("not_found", "There is no such question here (any more).", "Ask it again.")
    return found


async def _drawn(ask: Ask, found: Job) -> web.StreamResponse:
    """Draw the answer of a short one at once; of a long one how far it is, which asks again by itself."""
    if found.task is not None:
        await asyncio.wait({found.task}, timeout=SHORT_S)
    if found.state == "failed":
        return problems(ask, BadSettings(found.error), "")
    if found.state != "done":
        return drawing.page(ask, "job.html", it=found.shown(), path_of_job=f"/whatif/{found.id}")
    counts = {(line["old"], line["new"]): line["events"] for line in found.result["matrix"]}
    return drawing.page(
        ask, "whatif_answer.html", it=found.result, counts=counts, order=[status.code for status in STATUSES], zero=Decimal(0)
    )


def _is_seen(ask: Ask, kind: str, entity_id: str) -> bool:
    value = ask.context.following.entities[kind, entity_id]
    return ask.viewer.accounts is None or api.account_of(ask, kind, entity_id, value) in ask.viewer.accounts


ROUTES = (
    Route("GET", "/whatif", page, "try_rules", "What-if", (CHOSEN,), produces=("text/html",), kind="page"),
    Route(
        "POST", "/whatif", answer, "try_rules", "What a changed rule would have done", body=Question, produces=("text/html",), kind="page"
    ),
    Route("GET", "/whatif/{job_id}", job, "try_rules", "How far a question is, or its answer", produces=("text/html",), kind="page"),
    Route("POST", "/whatif/{job_id}/cancel", cancel, "try_rules", "End a question", body=Nothing, produces=("text/html",), kind="page"),
)
