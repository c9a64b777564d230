"""The SQL page: the question stands in the address, so that a link is a report; the answer is the first rows, the rest is a download.

The question goes the way of the API's (`console/sql.py`): checked, as the user that may read and nothing else, under limits. It is asked when
the page is opened from the console itself; a link from elsewhere fills the field, and a person presses Run.
"""

import shlex
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qsl

import orjson

from console.api import sql as api
from console.pages import drawing
from console.server.route import Ask, Parameter, Route
from console.warehouse import QueryRefused
from streams.runtime.errors import BadSettings, ClicktrailError

MOST_SHOWN = 1000
ROWS = "JSONCompactEachRowWithNamesAndTypes"
LONGEST = 20_000  # a request line has 32 KiB
Q = Parameter("q", "the question", longest=LONGEST)
WITH = Parameter("with", "values of its {name:Type}, as name=value&name=value", longest=LONGEST)
FIRST = "SELECT status, reason, count() AS events\nFROM events\nGROUP BY ALL\nORDER BY events DESC"


async def page(ask: Ask) -> Any:
    """Draw the question, and its answer if there is one."""
    question, given = ask.text("q"), dict(parse_qsl(ask.text("with"), keep_blank_values=True))
    is_ours = ask.request.headers.get("Sec-Fetch-Site", "none") in {"none", "same-origin"}
    answer = await _answered(ask, question, given) if question and is_ours else None
    schema = await api.schema(ask)
    return drawing.page(
        ask, "sql.html", question=question or FIRST, given=ask.text("with"), answer=answer, schema=schema, most=MOST_SHOWN,
        spoken=_snippets(ask, question or FIRST, given), has_parameters="{" in question,
    )  # fmt: skip


async def _answered(ask: Ask, question: str, given: dict[str, str]) -> dict[str, Any]:
    """Return {columns, rows, is_cut, ms}, or {what, remedy} of what stands in the way."""
    if ask.viewer.accounts is not None:
        return {
            "what": "SQL reads all accounts, and yours are limited to some.",
            "remedy": "Ask somebody whose user has no accounts listed.",
        }
    began = time.perf_counter()
    try:
        desk = ask.context.desk
        found = await desk.checked(question, given)
        lines = await _lines(await desk.stream(found.question, ROWS))
    except QueryRefused as error:
        return {"what": error.what, "remedy": "The columns stand beside, and the recipes are examples."}
    except BadSettings as error:
        return {"what": error.what, "remedy": error.remedy}
    except ClicktrailError as error:
        return {"what": error.what, "remedy": "Ask again; a shorter time range is quicker."}
    names, types, *rows = [*map(orjson.loads, lines), [], []][: len(lines)] if len(lines) >= 2 else ([], [])
    is_number = [kind.removeprefix("Nullable(").startswith(("Int", "UInt", "Float", "Decimal")) for kind in types]
    return {
        "columns": list(zip(names, types, is_number, strict=True)), "rows": rows[:MOST_SHOWN], "is_cut": len(rows) > MOST_SHOWN,
        "ms": round((time.perf_counter() - began) * 1000),
    }  # fmt: skip


async def _lines(pieces: AsyncIterator[bytes]) -> list[bytes]:
    """Return the lines of the answer, no more than are shown and one: the rest is not waited for."""
    buffer, found = b"", list[bytes]()
    async for piece in pieces:
        *whole, buffer = (buffer + piece).split(b"\n")
        found += [line for line in whole if line]
        if len(found) > MOST_SHOWN + 2:
            return found[: MOST_SHOWN + 3]
    return [*found, buffer] if buffer else found


def _snippets(ask: Ask, question: str, given: dict[str, str]) -> list[tuple[str, str]]:
    """Return (tool, the same question for it)."""
    settings = ask.context.settings
    body = orjson.dumps({"statement": question, **({"parameters": given} if given else {})}).decode()
    token = "" if ask.viewer.way == "local" else ' -H "Authorization: Bearer $CLICKTRAIL_TOKEN"'
    curl = f"curl{token} -H 'Content-Type: application/json' {settings.console_url()}/api/v1/sql -d {shlex.quote(body)}"
    values = " ".join(f"--param_{name}={shlex.quote(value)}" for name, value in given.items())
    client = f"clickhouse-client --database {settings.clickhouse.database} {values + ' ' if values else ''}--query {shlex.quote(question)}"
    python = (
        "import clickhouse_connect\n"
        f"client = clickhouse_connect.get_client(dsn={settings.clickhouse.url + '/' + settings.clickhouse.database!r})\n"
        f"for row in client.query({question!r}{f', parameters={given!r}' if given else ''}).named_results():\n    print(row)"
    )
    return [("curl", curl), ("clickhouse-client", client), ("Python", python)]


ROUTES = (Route("GET", "/sql", page, "query_sql", "SQL", (Q, WITH), produces=("text/html",), kind="page"),)
