"""What parsing one payload costs: `python -m bench.parse_cost` prints us per event on the reference workload's payloads.

Parsing is the ledger's largest share per event, so its cost is watched alone. CPU time of the best of several rounds, because the machine
is shared; the payloads are those of the reference workload (same fields, same shares), made here so that the bench stands alone.
"""

import json
import random
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from streams.parse import Parser
from streams.workspace import Workspace

PAYLOADS, ROUNDS, BUDGET_S = 2_000, 1_000, 5.0  # short rounds: on a busy machine some run undisturbed
SETTINGS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("property", "shop", {"id": "shop", "name": "Shop"}),
    (
        "source",
        "network",
        {
            "id": "network",
            "name": "N",
            "kind": "postback",
            "property_id": "shop",
            "mapping": {"click_id": ["cid"], "events": ["Purchase", "Lead"]},
        },
    ),
)


def payloads(count: int) -> Iterator[dict[str, Any]]:
    """The fields of the reference workload, 255 bytes as JSON on average."""
    rng = random.Random(20261124)
    for i in range(count):
        payload: dict[str, Any] = {
            "transaction_id": f"T{i}",
            "amount": f"{rng.random() * 100:.2f}",
            "currency": "USD",
            "status": rng.choice(("approved", "approved", "approved", "pending", "rejected")),
            "event": rng.choice(("Purchase", "Lead", "AddToCart")),
            "ip": f"10.{rng.randrange(256)}.{rng.randrange(256)}.{rng.randrange(256)}",
            "sub1": "abc",
            "sub2": "def",
            "ua": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36",
            "ts": 1763910000 + i // 100,
        }
        share = rng.random()
        if share < 0.8:
            payload["cid"] = f"c{rng.getrandbits(64):016x}"
        if share < 0.3 or 0.8 <= share < 0.95:
            payload["email"] = f"other{rng.randrange(100_000)}@example.com"
        yield payload


def records(count: int) -> list[SimpleNamespace]:
    """Records of clicktrail.payloads.v1, with the headers that ingest writes."""
    headers = [
        ("ce_source", b"network"),
        ("settings", b"1"),
        ("content-type", b"application/json"),
        ("method", b"POST"),
        ("ip", b"192.0.2.1"),
        ("user-agent", b"curl/8"),
        ("receipt", b"0193"),
    ]
    return [
        SimpleNamespace(
            topic="clicktrail.payloads.v1", partition=0, offset=i, timestamp=1795000000000, key=b"", value=value, headers=headers
        )
        for i, value in enumerate(json.dumps(p, separators=(",", ":")).encode() for p in payloads(count))
    ]


def cost_us(count: int = PAYLOADS, rounds: int = ROUNDS) -> float:
    """CPU us per payload, best round."""
    workspace = Workspace()
    for version, (entity, entity_id, value) in enumerate(SETTINGS):
        workspace.apply(version, entity, entity_id, value)
    parse = Parser(workspace, b"bench", 1).parse
    batch = records(count)
    best = float("inf")
    until = time.monotonic() + BUDGET_S
    for _ in range(rounds):
        start = time.process_time()
        for record in batch:
            parse(record)
        best = min(best, time.process_time() - start)
        if time.monotonic() > until:
            break
    return best / count * 1e6


def main() -> None:
    """Print the cost."""
    print(f"parse: {cost_us():.2f} us/event")


if __name__ == "__main__":
    main()
