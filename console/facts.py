"""Asks Kafka, ClickHouse and this machine for the facts that the rules of `misconfigured.py` judge by; who does not answer is left out."""

import asyncio
import contextlib
import os
import time
from pathlib import Path
from typing import Any

from console.misconfigured import Facts
from console.warehouse import Warehouse
from streams.runtime import topic_plan, topics
from streams.runtime.errors import ClicktrailError
from streams.runtime.growth import members_of
from streams.runtime.health import free_ratio
from streams.runtime.settings import Settings
from streams.topology import PAYLOADS, ROLES


def gather(settings: Settings) -> Facts:
    """Return what is known."""
    known: dict[str, Any] = {
        "is_container": "KUBERNETES_SERVICE_HOST" in os.environ or Path("/.dockerenv").exists(),
        "disk_free": free_ratio(settings.data_dir),
    }
    with contextlib.suppress(ClicktrailError):
        known |= asyncio.run(_of_kafka(settings))
    with contextlib.suppress(ClicktrailError):
        known |= _of_clickhouse(settings)
    return Facts(**known)


async def _of_kafka(settings: Settings) -> dict[str, Any]:
    admin = await topics.connected(settings)
    try:
        found = await topic_plan.look(admin, settings)
        steps = topic_plan.plan(found, settings)
        return {
            "brokers": len((await admin.describe_cluster())["brokers"]),
            "topic_steps": tuple(f"{step.topic} {step.what} {step.now} -> {step.wanted}" for step in steps),
            "members": await members_of(admin, [role.name for role in ROLES if role.inputs]),
            "partitions": next(each.state.partitions for each in found if each.state.topic is PAYLOADS),
        }
    finally:
        await admin.close()


def _of_clickhouse(settings: Settings) -> dict[str, Any]:
    house = Warehouse(settings)
    before = time.time()
    (row,) = house.rows("SELECT toUnixTimestamp64Milli(now64(3)) AS now_ms")
    between = (before + time.time()) / 2
    clusters = tuple(str(line["cluster"]) for line in house.rows("SELECT DISTINCT cluster FROM system.clusters ORDER BY cluster"))
    return {"skew_s": row["now_ms"] / 1000 - between, "clusters": clusters}
