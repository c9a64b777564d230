"""`clicktrail doctor`: is everything there, does it hang together, and does every payload have its row?"""

import asyncio
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import typer

from console import context, output
from streams.runtime.connections import masked
from streams.runtime.errors import BadSettings, ClicktrailError
from streams.runtime.settings import Settings

LAG_TO_MENTION = 10_000


class Result(NamedTuple):
    """One check: `state` is ok, warning or failed; `remedy` is the next step."""

    check: str
    state: str
    found: str
    remedy: str = ""


def _kafka(settings: Settings) -> list[Result]:
    from streams.runtime import topics

    asyncio.run(topics.require(settings))
    return [Result("kafka topics", "ok", settings.kafka.bootstrap_servers)]


def _lag(settings: Settings) -> list[Result]:
    from console.commands.groups import summary
    from console.lagging import measure

    results = []
    for row in summary(asyncio.run(measure(settings))):
        state = "warning" if row["lag"] > LAG_TO_MENTION else "ok"
        results.append(
            Result(f"{row['role']} lag", state, f"{row['lag']} records of {row['topic']}", "Is the role running?" if state != "ok" else "")
        )
    return results


def _tables(settings: Settings) -> list[Result]:
    from sinks.migrations import status
    from streams.runtime import probes

    probes.require_clickhouse(settings.clickhouse)
    states = status(settings.clickhouse.dsn(), settings.clickhouse.database, settings.clickhouse.cluster)
    bad = [f"{row.name} {row.state}" for row in states if row.state != "applied"]
    if bad:
        return [Result("clickhouse tables", "failed", ", ".join(bad), "Run `clicktrail migrate`.")]
    return [Result("clickhouse tables", "ok", masked(settings.clickhouse.url))]


def _roles(settings: Settings) -> list[Result]:
    from console.commands.lifecycle import _ready
    from console.misconfigured import is_remote
    from deploy.local.plan import ROLES
    from streams.runtime.role_ports import port_of

    found = [(role, _ready(f"http://127.0.0.1:{port_of(settings, role)}/readyz?verbose")) for role in ROLES]
    if is_remote(settings):  # roles run on other machines: those that do not run here are no finding
        found = [(role, ready) for role, ready in found if ready != "no answer"]
    return [
        Result(f"role {role}", "ok" if ready == "ok" else "failed", ready, "" if ready == "ok" else "See its log.") for role, ready in found
    ]


def _misconfigured(settings: Settings) -> list[Result]:
    from console.facts import gather
    from console.misconfigured import findings

    found = findings(settings, gather(settings))
    return [Result("configuration", "warning", finding.what, finding.remedy) for finding in found] or [
        Result("configuration", "ok", "none of the usual mistakes")
    ]


def _settings(settings: Settings) -> list[Result]:
    settings.pii_secret()
    return [Result("settings", "ok", f"data in {settings.data_dir}")]


def _conservation(settings: Settings) -> list[Result]:
    """Every payload up to the watermark has exactly one current row."""
    from sinks.conservation import check
    from streams.runtime import probes

    probes.require_clickhouse(settings.clickhouse)
    house, kafka = settings.clickhouse, settings.kafka
    report = asyncio.run(check(house.dsn(), kafka.client_args(), house.database, epoch=kafka.epoch))
    whole = "" if report.is_whole else "Payloads without exactly one row: see their offsets, the ledger's log and `clicktrail dlq ls`."
    return [Result("conservation", "ok" if report.is_whole else "failed", line, whole) for line in report.lines()]


CHECKS: tuple[Callable[[Settings], list[Result]], ...] = (_settings, _kafka, _tables, _misconfigured, _roles, _lag)


def _guarded(check: Callable[[Settings], list[Result]], settings: Settings) -> list[Result]:
    """Run a check; what it cannot do is its finding, and the other checks go on."""
    name = check.__name__.strip("_")
    try:
        return check(settings)
    except ClicktrailError as error:
        return [Result(name, "failed", error.what, error.remedy)]
    except Exception as error:  # noqa: BLE001 - a doctor that falls over tells nothing
        return [Result(name, "failed", f"{type(error).__name__}: {str(error)[:200]}")]


def _acceptance(as_json: bool) -> None:
    """Print every row of the acceptance table with the tests that prove it; a finding when one is not proved."""
    from console import acceptance

    if not (acceptance.ROOT / "tests").is_dir():
        raise BadSettings("The tests are not installed here.", "Run it in a checkout of the repository, after `make test`.")
    proofs = acceptance.proofs(acceptance.named(), acceptance.outcomes())
    if as_json:
        output.show_json([proof._asdict() for proof in proofs])
    else:
        output.show_table([
            {"row": p.id, "state": p.state, "tests": len(p.tests), "feature": p.feature, "proof": (p.failed or p.tests or [""])[0]} for p in proofs
        ])  # fmt: skip
    proved = sum(proof.state == "proved" for proof in proofs)
    output.note(f"{proved} of {len(proofs)} rows are proved." + ("" if proved == len(proofs) else " `make test` runs every proof."))
    output.finding(proved < len(proofs))


def doctor(
    conservation: Annotated[bool, typer.Option("--conservation", help="Also count: every payload has exactly one current row.")] = False,
    acceptance: Annotated[bool, typer.Option("--acceptance", help="Only: which tests prove which row of the acceptance table.")] = False,
    as_json: output.AsJson = False,
) -> None:
    """Check settings, topics, tables, roles, lag and the usual misconfigurations; exit code 1 when something needs attention."""
    if acceptance:
        _acceptance(as_json)
        return
    settings = context.load()
    checks = (*CHECKS, _conservation) if conservation else CHECKS
    results: list[dict[str, Any]] = [result._asdict() for check in checks for result in _guarded(check, settings)]
    output.show(results, as_json)
    output.finding(any(row["state"] == "failed" for row in results))
