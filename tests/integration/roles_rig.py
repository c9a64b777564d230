"""Roles as the processes that production runs, over services of a test's own: started, stopped and asked through `clicktrail`."""

import asyncio
import os
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import orjson
from aiokafka import AIOKafkaConsumer

from deploy.local.ports import free_ports
from streams.runtime.role_ports import ROLES

ROOT = Path(__file__).parents[2]
WORKSPACE = """
properties: [{id: shop, name: Shop}]
sources: [{id: net, name: Net, kind: postback, property_id: shop, mapping: {click_id: sub5, transaction_id: txid, value: payout}}]
"""


class Roles:
    """A namespace of processes: `environment` is what all of them get. As a context manager it ends them all."""

    def __init__(self, folder, environment):
        self.folder = folder
        bare = {name: value for name, value in os.environ.items() if not name.startswith("CLICKTRAIL_")}
        self.ingest_port, console_port, metrics, *_ = free_ports(2 + len(ROLES))
        self.environment = bare | {
            "CLICKTRAIL_DATA_DIR": str(folder), "CLICKTRAIL_PII_KEY": "test", "CLICKTRAIL_INGEST__PORT": str(self.ingest_port),
            "CLICKTRAIL_CONSOLE__PORT": str(console_port), "CLICKTRAIL_METRICS_PORT": str(metrics), **environment,
        }  # fmt: skip
        self.processes = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for name in list(self.processes):
            self.stop(name)

    def start(self, role, *, name=None, root=ROOT, **more):
        """Start a role from the sources in `root`; a second process of a role gets a name, and more of its own."""
        with (self.folder / f"{name or role}.log").open("ab") as log:
            command = [sys.executable, "-m", "console.cli", "worker", role]
            self.processes[name or role] = subprocess.Popen(command, cwd=root, env=self.environment | more, stdout=log, stderr=log)

    def stop(self, role):
        process = self.processes.pop(role)
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def all_run(self):
        for role, process in self.processes.items():
            assert process.poll() is None, f"{role} ended with {process.returncode}:\n{self.log(role)[-3000:]}"

    async def until_sound(self, *flags, timeout_s=200):
        """Wait until `clicktrail doctor` finds nothing failed, all roles among it; while one of ours ended, say how."""
        ends_at = time.monotonic() + timeout_s
        while "failed" in (said := await asyncio.to_thread(self.cli, "doctor", *flags, code=None)):
            self.all_run()
            assert time.monotonic() < ends_at, said
            await asyncio.sleep(0.3)

    def log(self, role):
        return (self.folder / f"{role}.log").read_text()

    def cli(self, *arguments, code=0, **more):
        done = subprocess.run(
            [sys.executable, "-m", "console.cli", *arguments], cwd=ROOT, env=self.environment | more, capture_output=True, text=True, check=False, timeout=120
        )  # fmt: skip
        assert code is None or done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def apply_workspace(self, text=WORKSPACE):
        path = self.folder / "workspace.yaml"
        path.write_text(text)
        self.cli("apply", "-f", str(path))

    def send(self, timeout_s=60, **parameters):
        """Send a postback of the network `net`, patiently: a sender tries again."""
        return self._get("/in/net?" + urllib.parse.urlencode(parameters), timeout_s)

    def click(self, click_id, timeout_s=60):
        """A click of an hour ago, however late it is reported."""
        occurred_ms = int(time.time() * 1000) - 3_600_000
        body = orjson.dumps({"kind": "click", "click_id": click_id, "url": "https://shop.example/", "occurred_ms": occurred_ms})
        return self._get("/t/shop", timeout_s, body)

    def _get(self, path, timeout_s, body=None):
        ends_at = time.monotonic() + timeout_s
        while True:
            request = urllib.request.Request(
                f"http://127.0.0.1:{self.ingest_port}{path}", data=body, headers={"Content-Type": "application/json"}
            )
            try:
                with urllib.request.urlopen(request, timeout=10) as answer:
                    return answer.read()
            except urllib.error.HTTPError as error:
                if error.code != 503 or time.monotonic() > ends_at:
                    raise AssertionError(f"{path}: {error.code} {error.read()}") from error
            except OSError:
                if time.monotonic() > ends_at:
                    raise
            time.sleep(0.1)


async def records_of(kafka, topic):
    """Every committed record of a topic; `kafka` are the arguments of an aiokafka client."""
    consumer = AIOKafkaConsumer(**kafka, isolation_level="read_committed", fetch_max_wait_ms=50)
    await consumer.start()
    try:
        consumer.subscribe([topic])
        while not consumer.assignment():  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        places = sorted(consumer.assignment())
        found = []
        for at, end in (await consumer.end_offsets(places)).items():
            consumer.seek(at, (await consumer.beginning_offsets([at]))[at])
            while await consumer.position(at) < end:
                for batch in (await consumer.getmany(at, timeout_ms=200)).values():
                    found += batch
        return found
    finally:
        await consumer.stop()


async def rows_of(kafka, is_enough, timeout_s=90):
    """The rows of events.v1, by event id in order of revision, once `is_enough` of them are there."""
    ends_at = time.monotonic() + timeout_s
    while True:
        rows = sorted((orjson.loads(r.value) for r in await records_of(kafka, "clicktrail.events.v1")), key=lambda row: row["revision"])
        if is_enough(rows):
            return rows
        assert time.monotonic() < ends_at, (
            f"{len(rows)} rows: {[(r['event_id'], r['status'], r['reason'], r['revision']) for r in rows][:50]}"
        )
        await asyncio.sleep(0.3)
