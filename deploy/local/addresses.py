"""What `up` prints at the end: where everything is, and lines that work as pasted."""

import shutil
import sys
from pathlib import Path

from deploy.local.plan import Plan
from deploy.local.progress import Progress

QUERY = "SELECT status, reason, count() FROM events GROUP BY ALL ORDER BY ALL"

OF_ONES_OWN = "/in/network?sub5=demo-dan&txid=MINE-1&payout=25&status=approved"


def show_addresses(plan: Plan, progress: Progress, *, has_demo: bool) -> None:
    """Print where everything is, and a line that works as pasted: a conversion for the demo, or how to begin without it."""
    settings, command = plan.settings, _command()
    facts = [
        ("Console", settings.console_url()),
        ("Ingest", settings.ingest_url()),
        ("ClickHouse", settings.clickhouse.url),
        ("Kafka", settings.kafka.bootstrap_servers),
        ("Send one", f"curl '{settings.ingest_url()}{OF_ONES_OWN}'")
        if has_demo
        else ("Begin", f"{command} apply -f deploy/local/demo.yaml"),
        ("Watch", f"{command} tail"),
        ("Ask why", f"{command} explain <event_id>"),
        ("Postbacks", f"{command} postbacks ls"),
        ("Query", f'{command} sql "{QUERY}"'),
    ]
    for name, value in facts:
        progress.fact(name, value)
    progress.say()
    progress.say(f"Ready after {progress.elapsed_s:.1f} s. Ctrl-C (or `clicktrail down`) stops everything; the data stays.", "bold")


def _command() -> str:
    """How to call the CLI from where the user stands."""
    if shutil.which("clicktrail"):
        return "clicktrail"
    beside = Path(sys.executable).with_name("clicktrail")
    try:
        return str(beside.relative_to(Path.cwd()))
    except ValueError:
        return str(beside)
