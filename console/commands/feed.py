"""`clicktrail send` and `gen`: payloads into ingest, one file or a stream of them."""

import asyncio
import contextlib
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from console import context, output
from streams.runtime.errors import BadSettings


def request_of(source: str, content: bytes, *, is_bulk: bool) -> Any:
    """Return the request that carries this content: NDJSON goes to the bulk route, the rest says what it looks like."""
    from deploy.local.traffic import Request

    if is_bulk:
        return Request("POST", f"/in/{source}/bulk", content, "application/x-ndjson")
    first = content.lstrip()[:1]
    kinds = {b"{": "application/json", b"[": "application/json", b"<": "application/xml"}
    return Request("POST", f"/in/{source}", content, kinds.get(first, "application/x-www-form-urlencoded"))


def looks_bulk(content: bytes) -> bool:
    """Say whether the content is NDJSON: more than one line, each an object."""
    lines = [line.strip() for line in content.splitlines() if line.strip()]
    return len(lines) > 1 and all(line.startswith(b"{") and line.endswith(b"}") for line in lines)


def send(
    file: Annotated[str, typer.Argument(help="A file with one payload, or NDJSON with many; `-` reads stdin.")],
    source: Annotated[str, typer.Option(help="The source's id.")],
    as_json: output.AsJson = False,
) -> None:
    """Send a payload (or NDJSON, one a line) to a source, as its sender would."""
    from deploy.local.traffic import Sender

    try:
        content = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise BadSettings(f"{file} cannot be read: {error}.") from error
    if not content.strip():
        raise BadSettings(f"{file} is empty.")

    async def run() -> Any:
        async with Sender(context.load().ingest_url()) as sender:
            return await sender.send(request_of(source, content, is_bulk=looks_bulk(content)))

    answer = asyncio.run(run())
    if as_json:
        output.show_json({"status": answer.status, **answer.content})
    elif answer.status < 300:
        for name, value in answer.content.items():
            output.stdout().print(f"{name}: {value}", markup=False)
    else:
        refusal = answer.content.get("error", {})
        output.complain(f"Ingest refused it ({answer.status}): {refusal.get('message', '')}", refusal.get("remedy", ""))
    output.finding(answer.status >= 300)


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
