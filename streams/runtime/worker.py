"""The life of a worker process: start its role, run until a signal or a failure, stop in order or at once.

A signal: the running transactions end, then Faust stops. Static membership means that no LeaveGroup is sent: the successor under the
same instance name gets the same partitions at once (0.25 s instead of 5.5 s).
A failure ends the process on the spot (`os._exit`): an open transaction is aborted by whoever comes next, and whatever state of mind
this process is in must not reach Kafka or RocksDB.
"""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable

import structlog
import uvloop

log = structlog.get_logger(__name__)

FAILED = 70  # exit code of a role that must not go on (EX_SOFTWARE)
STOP_TIMEOUT_S = 10

Service = Callable[[], Awaitable[None]]


class _HarmlessRetries(logging.Filter):
    """Drop aiokafka's line for NotEnoughReplicas: Kafka 4 answers so for a moment after each commit (378 lines in 66,000 records)."""

    def filter(self, record: logging.LogRecord) -> bool:
        return "NotEnoughReplicas" not in record.getMessage()


def quiet_libraries() -> None:
    """Faust and aiokafka tell only what a person must know; their tracebacks come through our own log."""
    logging.getLogger("aiokafka.producer.sender").addFilter(_HarmlessRetries())
    for name in ("faust", "mode", "aiokafka"):
        logging.getLogger(name).setLevel(logging.ERROR if name == "aiokafka" else logging.WARNING)


def fail_at_once(role: str, error: BaseException) -> None:
    """Log the failure and end the process."""
    log.error("role failed; the process ends", role=role, error=repr(error), exc_info=error)
    logging.shutdown()
    sys.stdout.flush()
    os._exit(FAILED)


def run_until_signal(start: Service, stop: Service) -> None:
    """Run on uvloop: start, wait for SIGTERM or SIGINT, stop."""

    async def life() -> None:
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, ended.set)
        await start()
        await ended.wait()
        try:
            await asyncio.wait_for(stop(), STOP_TIMEOUT_S)
        except TimeoutError:
            log.warning("stopping took too long; ending without goodbye", seconds=STOP_TIMEOUT_S)
            logging.shutdown()
            os._exit(0)

    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())  # Faust's consumer has a thread and a loop of its own
    uvloop.run(life())
