"""The plots and the problems: counts that follow the filters of the event log."""

from typing import Any

from console import charts, masking
from console.lists import listed
from console.server.answers import Refused
from console.server.openapi import shape
from console.server.route import Ask, Route
from schemas.entities import Property
from schemas.reasons import REASON_BY_CODE, SUB_REASON_BY_CODE
from streams.runtime.errors import near_match

EVENTS = listed("events")


async def chart(ask: Ask) -> dict[str, Any]:
    """Return the rows of a plot with the range that it covers."""
    name = ask.path["chart"]
    if name not in charts.CHARTS:
        raise Refused(
            "not_found",
            f"There is no chart {name[:40]!r}.",
            near_match(name, list(charts.CHARTS)) or f"There are: {', '.join(charts.CHARTS)}.",
        )
    question, found = charts.CHARTS[name](ask.filters(), ask.viewer.accounts)
    rows = [
        {("status" if column == "what" else column): value for column, value in row.items()}
        for row in await ask.context.asker.rows(question)
    ]
    answer: dict[str, Any] = {"chart": name, "range": charts.shown(found), "rows": rows}
    if name == "delays":
        workspace = ask.context.following.workspace
        properties = [each for each in workspace.all("property").values() if isinstance(each, Property)]
        answer["edges_s"] = list(charts.DELAYS_S)
        answer["windows"] = [{"property_id": each.id, "days": each.attribution.window_days} for each in properties]
    return answer


async def problems(ask: Ask) -> dict[str, Any]:
    """Return what goes wrong, grouped: how often, since when, where, with examples and what to do."""
    question, found = charts.problems(ask.filters(), ask.viewer.accounts)
    rows = []
    for row in await ask.context.asker.rows(question):
        row["status"] = row.pop("what")  # its own name would be taken for the column that the filters mean
        reason, sub = REASON_BY_CODE.get(row["reason"]), SUB_REASON_BY_CODE.get(row["sub_reason"] or "")
        rows.append(
            masking.row(row)
            | {
                "title": reason.title if reason else row["reason"],
                "is_action_needed": row["status"] == "error",
                "because": sub.text if sub else None,
                "causes": [] if sub or not reason else list(reason.causes),
                "remedy": sub.remedy if sub else reason.remedy if reason else "",
                "trend": _trend(row["earlier"], row["later"]),
            }
        )
    return {"range": charts.shown(found), "rows": rows}


def _trend(earlier: int, later: int) -> str:
    """Say whether it grows: half more or half less than before is a trend, and a handful is none."""
    if earlier + later < 5:
        return "few"
    if not earlier:
        return "new"
    return "rising" if later > 1.5 * earlier else "falling" if later < earlier / 1.5 else "steady"


ROUTES = (
    Route("GET", "/api/v1/charts/{chart}", chart, "read_log", "A plot of the event log: volume, statuses, reasons, sources, revenue, delays", (), EVENTS,
          refusals=("not_found",), answer=shape("chart", "range", "rows")),
    Route("GET", "/api/v1/problems", problems, "read_log", "What goes wrong, by reason", (), EVENTS, answer=shape("range", "rows")),
)  # fmt: skip
