"""Home, Problems, Health and the timeline of a click: pages that draw what the API's handlers answer."""

import asyncio
import dataclasses
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from console.api import charts, clicks, health
from console.lists import listed
from console.pages import drawing, lists, wording
from console.server.route import Ask, Route
from sinks.queries import recipes

EVENTS = listed("events")
DEFAULT_FROM = "24h"
PLOTS = ("volume", "statuses", "reasons", "revenue", "delays")
RECORDED, NOT_RECORDED = "recorded", "not recorded"
LINKS: Mapping[str, str] = {
    "ingest": "/events?from=1h", "ledger": "/events?from=1h", "attribution": "/visits?from=1h", "delivery": "/postbacks?from=1h",
    "sink": "/events?from=1h",
}  # fmt: skip
RECIPE = next(recipe.sql for recipe in recipes() if recipe.name == "click_timeline")


async def home(ask: Ask) -> Any:
    """Draw the plots that people look for."""
    inner = _with_range(ask)
    *plots, stages = await asyncio.gather(
        *(charts.chart(dataclasses.replace(inner, path={"chart": name})) for name in PLOTS), health.health(ask)
    )
    found = dict(zip(PLOTS, plots, strict=True))
    return drawing.page(
        ask, "home.html", from_text=_from(ask), volume=_pivot(found["volume"]), counts={row["series"]: row["value"] for row in found["statuses"]["rows"]},
        reason_rows=found["reasons"]["rows"], revenue=_revenue(found["revenue"]), delays=_delays(found["delays"]), pipe=stages, lag=_lag(stages), curl=lists.curl(ask),
    )  # fmt: skip


async def problems(ask: Ask) -> Any:
    """Draw what was not recorded, by reason."""
    found = await charts.problems(_with_range(ask))
    return drawing.page(ask, "problems.html", rows=found["rows"], from_text=_from(ask))


async def pipe(ask: Ask) -> Any:
    """Draw the stages."""
    return drawing.page(ask, "health.html", it=await health.health(ask), links=LINKS)


async def click(ask: Ask) -> Any:
    """Draw all that happened to a click on one axis, with the edge of its attribution window."""
    found = await clicks.timeline(ask)
    entries = list(found["entries"])
    window = found["window"]
    if window and window["to"]:
        at = next((place for place, entry in enumerate(entries) if entry["at"] > window["to"]), len(entries))
        entries.insert(at, {"kind": "edge", "at": window["to"]})
    return drawing.page(ask, "click.html", it=found, entries=entries, recipe=RECIPE)


def _lag(stages: dict[str, Any]) -> int | None:
    lags = [stage["lag"] for stage in stages["stages"] if stage["lag"] is not None]
    return sum(lags) if lags else None


def _from(ask: Ask) -> str:
    return ask.text("from") or ask.text("since") or DEFAULT_FROM


def _with_range(ask: Ask) -> Ask:
    """Return the request with the range that it has, or the usual one."""
    return dataclasses.replace(ask, given={**ask.given, "from": [_from(ask)]})


def _pivot(chart: dict[str, Any]) -> dict[str, Any]:
    """Return a plot by time as bars: {width_s, splits, bars}."""
    bars: dict[int, dict[str, Any]] = {}
    for row in chart["rows"]:
        at = _epoch(row["at"])
        bars.setdefault(at, {"at": at})[row["series"]] = row["value"]
    order = ("ok", "discarded", "deduplicated", "error")
    splits = [name for name in order if any(name in bar for bar in bars.values())]
    return {"width_s": chart["range"]["step_s"], "splits": splits, "bars": [bars[at] for at in sorted(bars)]}


def _revenue(chart: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return, for each currency, the value recorded and not recorded by time, with both sums."""
    found: dict[str, dict[str, Any]] = {}
    for row in chart["rows"]:
        money = found.setdefault(row["currency"] or "no currency", {"bars": {}, RECORDED: 0, NOT_RECORDED: 0})
        name = RECORDED if row["series"] == RECORDED else NOT_RECORDED
        bar = money["bars"].setdefault(_epoch(row["at"]), {"at": _epoch(row["at"]), RECORDED: 0, NOT_RECORDED: 0})
        bar[name] += row["value"]
        money[name] += row["value"]
    for money in found.values():
        money["bars"] = [money["bars"][at] for at in sorted(money["bars"])]
        money["width_s"] = chart["range"]["step_s"]
    return dict(sorted(found.items(), key=lambda item: -item[1][RECORDED]))


def _delays(chart: dict[str, Any]) -> dict[str, Any]:
    """Return the click-to-conversion delay: how many by each edge, and the windows that end at one."""
    counts = {int(row["upto_s"]): row["value"] for row in chart["rows"]}
    edges = chart["edges_s"]
    last = max((place for place, edge in enumerate(edges) if edge in counts), default=-1)
    windows: dict[int, list[str]] = {}
    for each in chart["windows"]:
        if each["days"] is not None:
            windows.setdefault(int(each["days"] * 86_400), []).append(each["property_id"])
    wanted = [edge for place, edge in enumerate(edges) if place <= last or edge in windows]
    return {
        "rows": [{"edge_s": edge, "text": timedelta(seconds=edge), "count": counts.get(edge, 0), "windows": windows.get(edge, [])} for edge in wanted],
        "beyond": counts.get(0, 0), "total": sum(counts.values()), "windows": windows,
    }  # fmt: skip


def _epoch(at: datetime) -> int:
    return int(wording.moment(at).timestamp())


ROUTES = (
    Route("GET", "/", home, "read_log", "Home: the plots that people look for", (), EVENTS, produces=("text/html",), kind="page"),
    Route("GET", "/problems", problems, "read_log", "Problems, by reason", (), EVENTS, produces=("text/html",), kind="page"),
    Route("GET", "/health", pipe, "read_log", "The stages as a pipe", produces=("text/html",), kind="page"),
    Route(
        "GET",
        "/clicks/{click_id}",
        click,
        "read_log",
        "All that happened to a click",
        (clicks.WINDOW,),
        produces=("text/html",),
        kind="page",
    ),
)
