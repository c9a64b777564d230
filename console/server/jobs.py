"""Long work with its progress: done of total, rate, what is left, and a way to end it.

A job lives in the process that was asked, as long as that process; what it does is durable by itself (a resend that was asked for stays asked
for), so a job that is lost loses only its progress. Ended jobs are remembered for an hour.
"""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from console.server.answers import Refused
from streams.runtime import logs
from streams.runtime.errors import ClicktrailError

LOG = logs.get(__name__)
REMEMBERED_S = 3600.0
MOST = 100
Progress = Callable[[int, int], None]


@dataclass(slots=True)
class Job:
    """One job. `state`: running, done, failed or cancelled."""

    kind: str
    author: str
    total: int
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    done: int = 0
    state: str = "running"
    error: str = ""
    result: Any = None
    began: float = field(default_factory=time.monotonic)
    ended: float = 0.0
    task: "asyncio.Task[None] | None" = None

    def progress(self, done: int, total: int) -> None:
        """Note how far it is."""
        self.done, self.total = done, total

    def shown(self) -> dict[str, Any]:
        """Return it as it stands in an answer."""
        took_s = max((self.ended or time.monotonic()) - self.began, 1e-3)
        rate = self.done / took_s
        left_s = (self.total - self.done) / rate if rate and self.state == "running" else None
        names = ("id", "kind", "author", "state", "done", "total", "error", "result")
        return {name: getattr(self, name) for name in names} | {
            "per_s": round(rate, 2), "took_s": round(took_s, 2), "left_s": None if left_s is None else round(left_s, 1),
        }  # fmt: skip


class Jobs:
    """The jobs of this process."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}

    def start(self, kind: str, author: str, total: int, work: Callable[[Progress], Awaitable[Any]]) -> Job:
        """Start work, which is given a function to tell its progress by. Refused when too much is under way."""
        now = time.monotonic()
        self._jobs = {key: job for key, job in self._jobs.items() if job.state == "running" or now - job.ended < REMEMBERED_S}
        if sum(job.state == "running" for job in self._jobs.values()) >= MOST:
            raise Refused("rate_limited", "Too many jobs are running.", Retry_After="10")
        job = Job(kind, author, total)
        self._jobs[job.id] = job
        job.task = asyncio.create_task(_run(job, work))
        return job

    def get(self, job_id: str, author: str, *, sees_all: bool) -> Job:
        """Return a job of one's own, or any where one sees all. Refused("not_found")."""
        job = self._jobs.get(job_id)
        if job is None or not (sees_all or job.author == author):
            raise Refused(
                "not_found", "There is no such job here (any more).", "See its results: the postback status list, the activity log."
            )
        return job

    async def close(self) -> None:
        """End what runs."""
        for job in self._jobs.values():
            if job.task is not None:
                job.task.cancel()
        await asyncio.gather(*(job.task for job in self._jobs.values() if job.task is not None), return_exceptions=True)


async def _run(job: Job, work: Callable[[Progress], Awaitable[Any]]) -> None:
    try:
        job.result = await work(job.progress)
        job.state = "done"
    except asyncio.CancelledError:
        job.state = "cancelled"
    except ClicktrailError as error:
        job.state, job.error = "failed", str(error)
    except Exception:  # a job must end as something that can be looked at
        LOG.exception("job_failed", kind=job.kind)
        job.state, job.error = "failed", "This is a fault of ours; the console's log has the details."
    finally:
        job.ended = time.monotonic()
