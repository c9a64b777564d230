"""How a client of ClickHouse is pointed at an address: one place, because clickhouse-connect takes an https address for http.

It reads user, password, host, port and options out of a DSN, but not the scheme: `https://ch:9440` would be spoken to in clear, with the
password in the first line (only port 8443 is taken for TLS). So the scheme goes beside it as `interface`.
"""

from typing import Any
from urllib.parse import urlsplit


def client_args(url: str, database: str) -> dict[str, Any]:
    """Return the arguments of `get_client` and `get_async_client`; `url` as `ClickHouseSettings.dsn()` gives it."""
    return {"dsn": url, "interface": "https" if urlsplit(url).scheme == "https" else "http", "database": database}
