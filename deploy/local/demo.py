"""What a newcomer sees at the end of the first `up`: a workspace, a row of every kind, and a line to send one of their own.

The traffic goes the same way as everybody's: over HTTP into ingest, through Kafka, into ClickHouse. So the demo is also the first proof
that everything works together; when its rows do not come, `up` says so instead of printing addresses of something broken.
"""

import asyncio
import time
from pathlib import Path

from console import apply
from console.lagging import measure
from console.warehouse import Warehouse
from deploy.local import demo_traffic
from deploy.local.demo_receiver import USUAL_PORT
from deploy.local.plan import Plan
from deploy.local.progress import Progress
from deploy.local.traffic import Request, Sender
from schemas import workspace
from streams.runtime.errors import Unavailable

WORKSPACE = Path(__file__).with_name("demo.yaml")
ROWS_S = 20.0
SETTLED_S = 5.0


def seed_once(plan: Plan, progress: Progress, receiver: str) -> None:
    """Bring in the demo when the workspace is empty; a workspace of one's own is left alone. `receiver`: where its destinations are."""
    began = time.monotonic()
    if asyncio.run(apply.current_entities(plan.settings)):
        return
    asyncio.run(_seed(plan, receiver))
    counts = _await_rows(plan, len(demo_traffic.steps()))
    said = ", ".join(f"{count} {status}" for status, count in counts.items())
    told = _await_postbacks(plan)
    said += "; postbacks: " + ", ".join(f"{count} {state}" for state, count in told.items())
    progress.done(f"Demo: {said}", "", time.monotonic() - began)


def is_there(plan: Plan) -> bool:
    """Say whether the workspace has the demo's source that the printed line sends to."""
    return ("source", "network") in asyncio.run(apply.current_entities(plan.settings))


async def _seed(plan: Plan, receiver: str) -> None:
    file = workspace.load(WORKSPACE.read_text(encoding="utf-8").replace(f"http://127.0.0.1:{USUAL_PORT}", receiver))
    await apply.make_so(plan.settings, file, "clicktrail up", "demo workspace of the first start")
    now_ms = demo_traffic.now_ms()
    async with Sender(plan.settings.ingest_url()) as sender:
        for request in demo_traffic.clicks(now_ms):
            await _sent(sender, request)
        await _until_idle(plan)
        for step in demo_traffic.steps():
            await _sent(sender, step.request)
        await _until_idle(plan)
        await _sent(sender, demo_traffic.late_click(now_ms))


async def _sent(sender: Sender, request: Request) -> None:
    """Send one; ingest follows the settings, so for a moment it may not know the new ids yet (404: nothing was stored)."""
    deadline = time.monotonic() + SETTLED_S
    while (answer := await sender.send(request)).status in {404, 503} and time.monotonic() < deadline:  # noqa: ASYNC110 - what changes is in another process
        await asyncio.sleep(0.05)
    if answer.status >= 300:
        raise Unavailable(f"Ingest refused a demo payload ({request.path}): {answer.status} {answer.content}.")


async def _until_idle(plan: Plan) -> None:
    """Conversions that overtake their clicks would be healed as revision 2: right, but not what a first look should show."""
    deadline = time.monotonic() + SETTLED_S
    while time.monotonic() < deadline:
        await asyncio.sleep(0.1)
        rows = await measure(plan.settings)
        if not any(row["lag"] for row in rows if row["role"] in {"attribution", "ledger"}):
            return


def _await_rows(plan: Plan, wanted: int) -> dict[str, int]:
    """Return {status: count} when every payload has its row. Unavailable when they do not come."""
    warehouse = Warehouse(plan.settings)
    deadline = time.monotonic() + ROWS_S
    while True:
        rows = warehouse.rows(
            "SELECT toString(status) AS status, count() AS found, max(revision) AS revision FROM events GROUP BY status ORDER BY status"
        )
        counts: dict[str, int] = {row["status"]: row["found"] for row in rows}
        if sum(counts.values()) >= wanted and any(row["revision"] > 1 for row in rows):
            return {status: counts.get(status, 0) for status in ("ok", "discarded", "deduplicated", "error")}
        if time.monotonic() > deadline:
            raise Unavailable(
                f"Only {sum(counts.values())} of {wanted} demo payloads became rows within {ROWS_S:g} s.", "See the logs folder."
            )
        time.sleep(0.1)


def _await_postbacks(plan: Plan) -> dict[str, int]:
    """Return {state: count} of the postbacks when none waits any more, or after SETTLED_S as they stand."""
    store = Warehouse(plan.settings)
    deadline = time.monotonic() + SETTLED_S
    while True:
        rows = store.rows("SELECT toString(state) AS state, count() AS found FROM postbacks GROUP BY state ORDER BY state")
        counts: dict[str, int] = {row["state"]: row["found"] for row in rows}
        if (counts and not counts.keys() & {"waiting", "held"}) or time.monotonic() > deadline:
            return counts
        time.sleep(0.1)
