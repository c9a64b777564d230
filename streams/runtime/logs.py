"""How every role writes its log: one line per happening, key=value for people, JSON for machines, and nobody's data in either.

structlog, because a processor is a function on a dictionary and the chain is a list that reads top-down. Masking is one link of that
chain and not a habit of the callers: an error's text can carry a payload (the page's own "Can't find refId: <e-mail>" shows the trap).
The standard library's loggers (aiokafka, aiohttp, faust) pass the same chain.
"""

import logging
import os
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

EMAIL = re.compile(r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]+(@|%40)[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")
# Values of names that carry secrets or identify a person, in URLs, headers and key=value texts.
SECRET = re.compile(
    r"(?i)\b(token|password|passwd|secret|authorization|api[_-]?key|signature|phone|click_?id|cid)\b(=|:\s?|\"\s?:\s?\")(bearer\s+)?[^\s&\"',;]+"
)
# After each commit the broker answers NotEnoughReplicas or ConcurrentTransactions for a moment; aiokafka retries, 378 lines per 66k records
# (measured). A group's coordinator is not there for the second in which a new broker makes its first offsets topic.
HARMLESS = re.compile(r"NotEnoughReplicas|ConcurrentTransactions|GroupCoordinatorNotAvailable")


def mask(text: str) -> str:
    """Return the text without e-mail addresses and without the values of secret names."""
    return SECRET.sub(r"\1\2***", EMAIL.sub("***@***", text))


def masked(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Mask every text of a log line; numbers stay."""
    return {name: mask(value) if isinstance(value, str) else value for name, value in event.items()}


class Harmless(logging.Filter):
    """Drops the lines of aiokafka that say nothing."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return False for lines that only repeat what aiokafka heals by itself, or what we have raised already."""
        if record.name == "asyncio":  # aiokafka leaves futures behind when another writer of settings fences it; the store retries
            return not (record.exc_info and type(record.exc_info[1]).__name__ == "ProducerFenced")
        return not (record.name.startswith("aiokafka") and HARMLESS.search(record.getMessage()))


def is_terminal() -> bool:
    """Say whether a person is watching stderr and wants colour (NO_COLOR: https://no-color.org)."""
    return sys.stderr.isatty() and not os.environ.get("NO_COLOR")


def configure(role: str, level: str = "info", log_format: str = "auto") -> None:
    """Set up structlog and the standard library's logging for this process: to stderr, each line with `role`."""
    as_json = log_format == "json" or (log_format == "auto" and not sys.stderr.isatty())
    before: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        masked,
    ]
    last = structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer(colors=is_terminal())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=before, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, last]
        )
    )
    handler.addFilter(Harmless())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # Libraries speak up from warning on: their info lines repeat what our own metrics and lines say better.
    for library in ("aiokafka", "aiohttp", "faust", "mode", "urllib3", "asyncio", "kafka"):
        logging.getLogger(library).setLevel(max(logging.WARNING, root.level))
    structlog.configure(
        processors=[*before, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(role=role)


def get(name: str) -> structlog.stdlib.BoundLogger:
    """Return the logger of a module: `LOG = logs.get(__name__)`."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger
