"""The reference workload through our runtime, as the driver runs it: `python -m bench.reference_app`.

A launcher starts PROCESSES workers (1 unless set), each with both roles on one uvloop. Phase A: the attribution role reads the clicks;
when every key is in its state, the workers are told to GO and start the dedup role: FIRST comes from whoever sees the first conversion,
DONE when the workers together have emitted N log records. The launcher only adds up their lines.
"""

import asyncio
import logging
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

from bench.reference_stages import Attribution, Dedup, Roles
from bench.workload import PARTITIONS

COMMIT_INTERVAL_S = float(os.environ.get("COMMIT_INTERVAL_S", "0.2"))
CHUNK_RECORDS = int(os.environ.get("CHUNK_RECORDS", "2000"))


def say(line: str) -> None:
    """Tell the launcher, in one write."""
    os.write(1, line.encode() + b"\n")


def launch(environment: dict[str, str]) -> None:
    """Start the workers, add up what they say, until ended by a signal."""
    asyncio.run(_create_topics(environment))
    reading, writing = os.pipe()
    count = int(environment.get("PROCESSES", "1"))
    command = [sys.executable, "-m", "bench.reference_app"]
    workers = [subprocess.Popen([*command, str(n)], stdin=subprocess.PIPE, stdout=writing, text=True) for n in range(count)]
    os.close(writing)
    sums: Counter[str] = Counter()
    with os.fdopen(reading) as lines:
        for line in lines:
            word, _, number = line.strip().partition(" ")
            before, sums[word] = sums[word], sums[word] + int(number or 1)
            if word == "FIRST" and not before:
                say("FIRST")
            elif word == "INDEXED" and before < int(environment["N_INDEX"]) <= sums[word]:
                for worker in workers:
                    assert worker.stdin
                    print("GO", file=worker.stdin, flush=True)
            elif word == "ROWS" and before < int(environment["N"]) <= sums[word]:
                say("DONE")


async def _create_topics(environment: dict[str, str]) -> None:
    from aiokafka.admin import AIOKafkaAdminClient, NewTopic

    admin = AIOKafkaAdminClient(bootstrap_servers=environment["BOOTSTRAP"])
    await admin.start()
    try:
        await admin.create_topics(
            [
                NewTopic(topic.name, PARTITIONS, 1, topic_configs={"cleanup.policy": "compact"} if topic.is_compacted else {})
                for topic in _roles(environment).made
            ]
        )
    finally:
        await admin.close()


def _roles(environment: dict[str, str]) -> Roles:
    return Roles(environment["APPID"], environment["RAW"], environment["CLICKS"], environment["LOG"])


class Worker:
    """Both roles in this process."""

    def __init__(self, name: str, environment: dict[str, str]) -> None:
        from streams.runtime.app import RoleApp

        roles = _roles(environment)
        log, clicks, lookups = environment["LOG"], environment["CLICKS"], roles.lookups.name
        self._has_begun = False
        shared = {
            "instance": f"w{name}", "state_dir": Path(environment["STATE"]), "keep_s": 400 * 86_400, "commit_interval_s": COMMIT_INTERVAL_S, "chunk_records": CHUNK_RECORDS,
        }  # fmt: skip
        kafka = {"bootstrap_servers": environment["BOOTSTRAP"]}
        self._attribution = RoleApp(
            roles.attribution,
            lambda: Attribution(clicks, lookups, log, PARTITIONS, lambda n: say(f"INDEXED {n}"), self._log_rows),
            kafka, group=f"{environment['APPID']}-attribution", **shared,
        )  # fmt: skip
        self._dedup = RoleApp(
            roles.dedup, lambda: Dedup(log, lookups, PARTITIONS, self._first_rows), kafka, group=f"{environment['APPID']}-dedup", **shared
        )

    def _log_rows(self, count: int) -> None:
        if count:
            say(f"ROWS {count}")

    def _first_rows(self, count: int) -> None:
        if not self._has_begun:
            self._has_begun = True
            say("FIRST")
        self._log_rows(count)

    async def start(self) -> None:
        """Start attribution now, dedup when told."""
        await self._attribution.start()
        self._waiting = asyncio.create_task(self._go())

    async def _go(self) -> None:
        await asyncio.to_thread(sys.stdin.readline)
        await self._dedup.start()

    async def stop(self) -> None:
        """Stop both."""
        await self._dedup.stop()
        await self._attribution.stop()


def work(name: str) -> None:
    """Run one worker until a signal."""
    import structlog

    from streams.runtime.worker import quiet_libraries, run_until_signal

    logging.basicConfig(level=logging.WARNING)
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # stdout belongs to the protocol
    quiet_libraries()
    worker = Worker(name, dict(os.environ))
    run_until_signal(worker.start, worker.stop)


if __name__ == "__main__":
    if sys.argv[1:]:
        work(sys.argv[1])
    else:
        launch(dict(os.environ))
