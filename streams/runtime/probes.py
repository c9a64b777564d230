"""Does a service answer? Asked for real and shortly: a process that is there, a port that is open and a connection that stands say nothing.

A stopped or stuck process keeps all three: the kernel accepts for it. Clients wait for such a one as long as they would for a long query or a
slow fetch, a minute and more, so whoever is watched by a person asks here first: health pages, `status`, `doctor`, and every command before
its own question. A probe is a question of the service's own protocol that costs it nothing, and it gives up soon.
"""

import asyncio
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable
from http.client import HTTPException
from typing import Any
from urllib.parse import unquote, urlsplit

from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import (
    AuthenticationFailedError,
    IllegalSaslStateError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)

from streams.runtime.connections import ClickHouseSettings, KafkaSettings, masked
from streams.runtime.errors import Unavailable
from streams.runtime.health import Check

LIMIT_S = 2.0  # of a health page
COMMAND_S = 5.0  # of a command: somebody waits, but a wrong "does not answer" is worse than three seconds
REMEMBERED_S = 1.0  # health pages may be asked often; the services are not
ANSWERS = "answers"
REFUSED = "it refuses the user and password"
DISTRUSTED = "its certificate is not trusted"


async def kafka(settings: KafkaSettings, limit_s: float = LIMIT_S) -> str:
    """Return "answers", or what is wrong; of several servers, with the last one that was asked."""
    found = "no answer"
    args = settings.client_args()
    for host, port, _ in collect_hosts(args.pop("bootstrap_servers")):
        found = await _kafka(host, port, args, limit_s)
        if found == ANSWERS:
            break
    return found


async def answers(settings: KafkaSettings) -> bool:
    """Return whether Kafka answers."""
    return await kafka(settings) == ANSWERS


async def _kafka(host: str, port: int, args: dict[str, Any], limit_s: float) -> str:
    """Connect as every client does: TLS, its version, who we are."""
    try:
        async with asyncio.timeout(limit_s):
            connection = await create_conn(host, port, **args)
    except TimeoutError:
        return f"no answer within {limit_s:g} s"
    except ssl.SSLError as error:
        return f"{DISTRUSTED}: {getattr(error, 'verify_message', None) or error.reason}"
    except (AuthenticationFailedError, SaslAuthenticationFailed, UnsupportedSaslMechanismError, IllegalSaslStateError):
        return REFUSED
    except (KafkaError, OSError):
        return "no answer"
    connection.close()
    return ANSWERS


def clickhouse(settings: ClickHouseSettings, limit_s: float = LIMIT_S) -> str:
    """Return "answers", or what is wrong; never a part of the address, which may hold a password."""
    try:
        with urllib.request.urlopen(_question(settings), timeout=limit_s, context=_tls(settings)) as response:  # noqa: S310 - the configured address
            response.read()
    except urllib.error.HTTPError as error:
        return f"refuses ({error.code})"
    except TimeoutError:
        return f"no answer within {limit_s:g} s"
    except OSError as error:
        return f"no answer within {limit_s:g} s" if isinstance(getattr(error, "reason", None), TimeoutError) else "no answer"
    except (HTTPException, ValueError):
        return "no answer: it is no address"
    return ANSWERS


def _tls(settings: ClickHouseSettings) -> ssl.SSLContext | None:
    return ssl.create_default_context(cafile=str(settings.ssl_cafile)) if settings.ssl_cafile else None


def _question(settings: ClickHouseSettings) -> urllib.request.Request:
    parts = urlsplit(settings.url)
    user, password = settings.user, settings.password.get_secret_value()
    if parts.username:
        user, password = unquote(parts.username), unquote(parts.password or "")
    headers = {"X-ClickHouse-User": user, "X-ClickHouse-Key": password}
    return urllib.request.Request(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/", data=b"SELECT 1", headers=headers)  # noqa: S310


async def require_kafka(settings: KafkaSettings, limit_s: float = COMMAND_S) -> None:
    """Return if it answers, else raise Unavailable."""
    if (found := await kafka(settings, limit_s)) != ANSWERS:
        remedy = "Start it (`clicktrail up`) or set CLICKTRAIL_KAFKA__BOOTSTRAP_SERVERS."
        if found == REFUSED:
            remedy = "Compare CLICKTRAIL_KAFKA__SASL_USERNAME, …SASL_PASSWORD and …SASL_MECHANISM with what the broker knows."
        elif found.startswith(DISTRUSTED):
            remedy = "Set CLICKTRAIL_KAFKA__SSL_CAFILE to the CA that signed it."
        raise Unavailable(f"Kafka does not answer at {settings.bootstrap_servers} ({found}).", remedy)


def require_clickhouse(settings: ClickHouseSettings) -> None:
    """Return if it answers, be it with a refusal, else raise Unavailable."""
    if (found := clickhouse(settings, COMMAND_S)).startswith("no answer"):
        raise Unavailable(
            f"ClickHouse does not answer at {masked(settings.url)} ({found}).",
            "Start it (`clicktrail up`) or set CLICKTRAIL_CLICKHOUSE__URL.",
        )


class Watch:
    """A probe for a health page: what was found within the last second is the answer, and those who ask meanwhile share the question."""

    def __init__(self, ask: Callable[[], Awaitable[str]]) -> None:
        self._ask = ask
        self._asking = asyncio.Lock()
        self._found = ""
        self._good_until = 0.0

    async def __call__(self) -> Check:
        """Return the check."""
        async with self._asking:
            if time.monotonic() >= self._good_until:
                self._found = await self._ask()
                self._good_until = time.monotonic() + REMEMBERED_S
        return Check(self._found == ANSWERS, self._found)


def watch_kafka(settings: KafkaSettings) -> Watch:
    """Return the check of a role that needs Kafka."""
    return Watch(lambda: kafka(settings))


def watch_clickhouse(settings: ClickHouseSettings) -> Watch:
    """Return the check of a role that needs ClickHouse."""
    return Watch(lambda: asyncio.to_thread(clickhouse, settings))
