"""`clicktrail send`, `upload` and `gen`: payloads into ingest, one file or a stream of them."""

import asyncio
import contextlib
import sys
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from console import context, output
from streams.runtime.errors import BadSettings


def request_of(source: str, content: bytes, *, is_bulk: bool) -> Any:
    """Return the request that carries this content: NDJSON and CSV go to the bulk route, the rest says what it looks like."""
    from deploy.local.traffic import Request

    if is_bulk:
        return Request("POST", f"/in/{source}/bulk", content, "text/csv" if looks_table(content) else "application/x-ndjson")
    first = content.lstrip()[:1]
    kinds = {b"{": "application/json", b"[": "application/json", b"<": "application/xml"}
    return Request("POST", f"/in/{source}", content, kinds.get(first, "application/x-www-form-urlencoded"))


def looks_bulk(content: bytes) -> bool:
    """Say whether the content is many payloads: a table, or more than one line of which the first is a JSON object (a broken one behind it is
    one row of the log, not the end of the upload).
    """
    lines = [line.strip() for line in content.splitlines() if line.strip()]
    if len(lines) < 2:
        return False
    try:
        return isinstance(orjson.loads(lines[0]), dict)
    except ValueError:
        return looks_table(content)


def looks_table(content: bytes) -> bool:
    """Say whether the content is CSV: a first line of separated names, and others behind it."""
    header, _, rest = content.removeprefix(b"\xef\xbb\xbf").lstrip().partition(b"\n")
    return bool(rest.strip()) and header[:1] not in (b"{", b"[", b"<") and b"=" not in header and any(mark in header for mark in b",;\t|")


def read(file: str) -> bytes:
    """Return what a file (or stdin) holds. BadSettings when it cannot be read or holds nothing."""
    try:
        content = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise BadSettings(f"{file} cannot be read: {error}.") from error
    if not content.strip():
        raise BadSettings(f"{file} is empty.")
    return content


def upload(
    file: Annotated[str, typer.Argument(help="CSV whose first line names the columns, or NDJSON; `-` reads stdin.")],
    source: Annotated[str, typer.Option(help="The source's id; a source of kind upload, usually.")],
    as_json: output.AsJson = False,
) -> None:
    """Upload a file of conversions: each row is a payload of its own, judged by the time that it names."""
    content = read(file)
    if not looks_table(content) and content.lstrip()[:1] != b"{":
        raise BadSettings(
            f"{file} is neither CSV nor NDJSON.", "The first line of a CSV names its columns; `clicktrail send` takes one payload."
        )
    _sent(request_of(source, content, is_bulk=True), as_json=as_json)


def send(
    file: Annotated[str, typer.Argument(help="A file with one payload, or NDJSON or CSV with many; `-` reads stdin.")],
    source: Annotated[str, typer.Option(help="The source's id.")],
    as_json: output.AsJson = False,
) -> None:
    """Send a payload (or many: NDJSON, one a line, or CSV, one a row) to a source, as its sender would."""
    content = read(file)
    _sent(request_of(source, content, is_bulk=looks_bulk(content)), as_json=as_json)


def _sent(request: Any, *, as_json: bool) -> None:
    from deploy.local.traffic import Sender

    async def run() -> Any:
        async with Sender(context.load().ingest_url()) as sender:
            return await sender.send(request)

    answer = asyncio.run(run())
    if as_json:
        output.show_json({"status": answer.status, **answer.content})
    elif answer.status < 300:
        for name, value in answer.content.items():
            output.stdout().print(f"{name}: {value}", markup=False)
    else:
        refusal = answer.content.get("error", {})
        output.complain(f"Ingest refused it ({answer.status}): {refusal.get('message', '')}", refusal.get("remedy", ""))
    refused = [line for line in answer.content.get("refused_lines", ()) if line["reason"] != "empty_line"]
    output.finding(answer.status >= 300 or bool(refused))


def gen(
    rate: Annotated[float, typer.Option(min=0.1, help="Requests per second.")] = 20.0,
    seed: Annotated[int, typer.Option(help="The same seed makes the same traffic.")] = 1,
    seconds: Annotated[float, typer.Option(min=0, help="How long; 0: until Ctrl-C.")] = 10.0,
    as_json: output.AsJson = False,
) -> None:
    """Send realistic traffic for the demo workspace: clicks, and conversions that get every status."""
    from deploy.local.generated import paced
    from deploy.local.traffic import Sender, Totals, send_paced

    totals = Totals()

    async def run() -> None:
        async with Sender(context.load().ingest_url()) as sender:
            await send_paced(sender, paced(rate, seed, seconds), totals)

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run())
    if as_json:
        output.show_json({"sent": totals.sent, "accepted": totals.accepted, "by_status": totals.by_status})
    else:
        output.note(f"Sent {totals.sent}, accepted {totals.accepted}.")
    output.finding(totals.accepted < totals.sent)
