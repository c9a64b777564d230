"""The embedded ClickHouse: its HTTP interface over chDB, for one machine.

Why an endpoint and not chDB in every process: one process may own a data folder. Behind HTTP every role, tool, notebook and test uses
the client and the code path of production, which points the URL at a cluster instead (2-architecture, section 5).

Read in this order: `server` (a request's way), `engine` (chDB and its traps, with the measurements), `statement`, `request`, `body`,
`answer`, `sessions`, `encodings`, `errors`; `process` starts all this as a child (`python -m sinks.embedded`), `folder` keeps it alone.
"""

from sinks.embedded.process import ClickHouse, ClickHouseError

__all__ = ["ClickHouse", "ClickHouseError"]
