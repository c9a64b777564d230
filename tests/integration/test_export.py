"""`clicktrail export`, `tail` and `get` against a real engine: what is written, what a spreadsheet is kept from doing, and the count."""

import asyncio
import base64
import csv
import io
import os
import pty
import select
import subprocess
import sys
import termios
import time

import clickhouse_connect
import orjson
import pytest

from console import exporting, lists, rebuild
from sinks import migrations
from sinks.feeds import FEEDS
from sinks.store import Store
from streams.runtime.errors import BadSettings, Unavailable
from streams.runtime.settings import ClickHouseSettings, Settings
from streams.stage import Record
from tests import command_line
from tests.integration.sink_rig import Rig, row, visit

EVENTS_FEED, VISITS_FEED = FEEDS[:2]
ERROR = {"status": "error", "reason": "unknown_click_id", "view_status": "failure"}
NASTY = ['=HYPERLINK("http://evil.example")', "+1+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "＝1", 'line one\nline "two", 3', "plain"]


@pytest.fixture(scope="module")
async def rig(clickhouse):
    """Nine messages that a spreadsheet would run or that break lines, one payload of bytes that are no text, two visits."""
    rig = Rig(type("NoBroker", (), {"bootstrap_servers": ""}), clickhouse, "export")
    await asyncio.to_thread(migrations.migrate, clickhouse.url, rig.name)
    store = Store(clickhouse.url, rig.name)
    rows = [row(number, message=text, **(ERROR if number % 2 else {})) for number, text in enumerate(NASTY)]
    rows += [row(len(NASTY), payload=b'\xff\x00"\n', value="-12.50", type="api_call", source_id="api")]
    rows = [orjson.dumps(orjson.loads(value) | {"receipt_id": "one" if not number else "bulk"}) for number, value in enumerate(rows)]
    for feed, values in ((EVENTS_FEED, rows), (VISITS_FEED, [visit(1), visit(2, kind="visit", campaign_id="c2")])):
        await store.insert(feed, [Record(feed.topic, 0, n, 1_790_000_100_000 + n, None, value) for n, value in enumerate(values)])
    await store.close()
    return rig


@pytest.fixture
def cli_environment(rig, tmp_path):
    """The engine of the rig."""
    return command_line.environment(CLICKHOUSE__URL=rig.clickhouse.url, CLICKHOUSE__DATABASE=rig.name, DATA_DIR=tmp_path)


@pytest.fixture
def export(clicktrail):
    """Run `clicktrail export`; returns (stdout as bytes, stderr)."""
    return lambda *arguments, code=0: clicktrail("export", *arguments, code=code)[1:]


def table(raw):
    return list(csv.DictReader(io.StringIO(raw.decode(), newline="")))


async def test_a_csv_has_every_row_once_and_runs_nothing(export):
    """R15: the download. Cells that a spreadsheet would take for a formula get an apostrophe; numbers stay numbers."""
    raw, said = export("events")
    rows = table(raw)
    assert len(rows) == len(NASTY) + 1
    assert said.strip() == "10 rows of events."
    messages = [line["message"] for line in rows][: len(NASTY)]
    assert messages == [("'" if text[0] in "=+-@\t\r＝" else "") + text for text in NASTY]
    assert rows[-1]["value"] == "-12.5"
    assert rows[-1]["sub_reason"] == ""
    assert "log_offset" not in rows[0]


async def test_ndjson_is_valid_for_every_reader_and_keeps_the_words(export):
    raw, said = export("events", "--format", "ndjson")
    rows = [orjson.loads(line) for line in raw.splitlines()]
    assert [line["message"] for line in rows][: len(NASTY)] == NASTY
    assert rows[-1]["payload"] == '�\x00"\n'
    assert said.startswith("10 rows")


async def test_parquet_keeps_the_bytes_and_says_how_many(export, rig, tmp_path):
    pyarrow = pytest.importorskip("pyarrow.parquet", reason="pyarrow reads the file back")
    path = tmp_path / "events.parquet"
    out, said = export("events", "--format", "parquet", "-o", str(path), "--json")
    found = pyarrow.read_table(path)
    assert found.num_rows == 10
    assert base64.b64decode(found.column("payload_b64")[9].as_py()) == b'\xff\x00"\n'
    assert found.column("message").to_pylist()[: len(NASTY)] == NASTY
    assert orjson.loads(out) == {"list": "events", "format": "parquet", "output": str(path), "rows": 10}
    assert said.startswith("10 rows of events in ")


FILTERS = [
    (("events", "--view-status", "failure"), 4),
    (("events", "--view-status", "Success"), 6),
    (("events", "--status", "error", "--source", "net"), 4),
    (("events", "--campaign", "c1", "--property", "shop", "--traffic-source", "t1"), 10),
    (("events", "--since", "2026-01-01", "--until", "2026-12-31"), 10),
    (("events", "--since", "2027-01-01"), 0),
    (("integration_events", "--view-status", "failure"), 4),
    (("integration_events", "--type", "api_call"), 1),
    (("integration_events", "--type", "API Call"), 1),
    (("system_logs", "--event-type", "Conversions"), 10),
    (("system_logs", "--campaign", "c2"), 1),
    (("visits", "--type", "click"), 1),
    (("postbacks",), 0),
    (("activity",), 0),
]


@pytest.mark.parametrize(("arguments", "count"), FILTERS, ids=[" ".join(arguments) for arguments, _ in FILTERS])
async def test_the_count_follows_the_filter(export, arguments, count):
    """R14, R15, R16: what is listed is what is downloaded, and the number says so."""
    raw, said = export(*arguments)
    assert len(table(raw)) == count
    assert said.startswith(f"{count} row")


async def test_the_logs_area_has_its_three_sections(export):
    """C01: System Logs, System Activity and Postback Status, each a list of its own."""
    rows = {name: export(name)[1].split()[0] for name in ("system_logs", "activity", "postbacks")}
    assert rows == {"system_logs": "12", "activity": "0", "postbacks": "0"}


async def test_the_page_of_referral_rock_as_a_file(export):
    """R05, R15: the columns of the page."""
    raw, _ = export("integration_events", "--view-status", "success")
    assert list(table(raw)[0]) == ["created_date", "type", "status", "message", "details", "event_id"]
    assert {line["status"] for line in table(raw)} == {"Success"}


async def test_the_list_and_one_event_on_the_command_line(clicktrail):
    """A02, R01, R03, R04, R14, R17, R18: past events of all sources or of one, by Info / Success / Failure, then one with its status,
    parameters and values. The pages' own way there (a button, a panel) is the console's, which comes later; these are its two questions.
    """
    counts = {}
    for word in ("info", "success", "failure", ""):
        raw = clicktrail("tail", "--no-follow", "-n", "100", "--output", "json", "--view-status", word, code=0).out
        counts[word] = len(raw.splitlines())
    assert counts == {"info": 0, "success": 6, "failure": 4, "": 10}
    raw = clicktrail("tail", "--no-follow", "-n", "100", "--output", "json", "--source", "api", code=0).out
    assert [orjson.loads(line)["event_id"] for line in raw.splitlines()] == [f"e1-0-{len(NASTY)}"]
    event = orjson.loads(clicktrail("get", "e1-0-1", "--json", code=0).out)
    assert (event["status"], event["view_status"], event["message"]) == ("error", "failure", "+1+1")
    assert event["parameters"] == {"click_id": "clk1", "amount": "12.50"}


async def test_the_timeline_of_a_click_is_all_that_happened_to_it(clicktrail):
    """A06, A07: from the click id of a conversion to the visit, the click and the conversions of it, in their order, and nobody else's."""
    row = orjson.loads(clicktrail("get", "e1-0-1", "--json", code=0).out)
    found = orjson.loads(clicktrail("timeline", row["click_id"], "--json", code=0).out)
    assert [(line["what"], line["id"], line["status"]) for line in found] == [("click", "v1", ""), ("Purchase", "e1-0-1", "error")]
    assert found[0]["at"] < found[1]["at"]
    assert found[1]["since"].startswith("+")


async def test_an_event_is_found_by_the_receipt_of_its_request(clicktrail):
    """What was answered while Kafka was away has no event id in its answer; the lines of a bulk upload share one receipt."""
    assert orjson.loads(clicktrail("get", "one", "--json", code=0).out)["event_id"] == "e1-0-0"
    assert orjson.loads(clicktrail("explain", "one", "--json", code=0).out)["event_id"] == "e1-0-0"
    of_bulk = orjson.loads(clicktrail("get", "bulk", "--json", code=0).out)
    assert {event["event_id"] for event in of_bulk} == {f"e1-0-{number}" for number in range(1, 10)}
    assert clicktrail("get", "bulk", code=0).out.count(b"e1-0-") == 9
    assert "Name one: e1-0-1, " in clicktrail("explain", "bulk", code=2).said


@pytest.mark.parametrize("arguments", [("get", "e1-0-77"), ("explain", "0" * 32), ("timeline", "nobody")])
async def test_what_is_not_there_is_a_finding_whoever_asks(clicktrail, arguments):
    """Exit code 1 for all three, and nothing on stdout that a program could take for an answer."""
    ended = clicktrail(*arguments, "--json", code=1)
    assert ended.out == b""
    assert arguments[1] in ended.said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("evnts",), "no list 'evnts'"),
        (("events", "--author", "ann"), "There is no filter 'author' here"),
        (("visits", "--view-status", "info"), "There is no filter 'view_status' here"),
        (("events", "--since", "tomorrow"), "is no time"),
        (("events", "--format", "xlsx"), "xlsx"),
    ],
)
async def test_what_cannot_be_exported_is_said(export, arguments, said):
    assert said in export(*arguments, code=2)[1]


async def test_a_file_that_cannot_be_written_is_said(export, tmp_path):
    for to in (tmp_path / "missing" / "events.csv", tmp_path):
        said = export("events", "-o", str(to), code=2)[1]
        assert f"{to} cannot be written: " in said
        assert "Traceback" not in said


class Broken:
    """An answer that ends too soon."""

    def answer(self, *_):
        return self

    def pieces(self, _size):
        yield b'"a"\n1\n'
        raise exporting.HTTPError("connection broken")


def test_half_an_export_is_an_error():
    found = exporting.Export(Broken(), "", {}, "csv")
    with pytest.raises(Unavailable, match="broke off after 2 rows"):
        list(found)


@pytest.mark.parametrize(
    ("form", "pieces", "count"),
    [
        ("csv", [b'"a"\n', b'"x"\n"y', b'\n"\n"z""', b'\n"\n'], 3),
        ("csv", [b'"a"\n'], 0),
        ("csv", [], 0),
        ("ndjson", [b'{"a":"x\\n"}\n{"a"', b":1}\n"], 2),
    ],
)
def test_rows_are_counted_as_they_pass(form, pieces, count):
    """Wherever the pieces are cut; a line break inside quotes is content."""
    broken = Broken()
    broken.pieces = lambda _size: iter(pieces)
    found = exporting.Export(broken, "", {}, form)
    assert b"".join(found) == b"".join(pieces)
    assert found.row_count == count


def test_every_list_has_its_view_and_its_columns():
    for found in lists.LISTS:
        assert lists.columns_of(found, is_whole=True)
        assert exporting.statement(found, "csv", {"since": "24h", "until": "1h"}).values.keys() == {"from", "to"}
    with pytest.raises(BadSettings):
        lists.listed("nothing")


@pytest.fixture(scope="module")
async def elsewhere(clickhouse):
    """Another installation's database, empty."""
    await asyncio.to_thread(migrations.migrate, clickhouse.url, "elsewhere")
    return "elsewhere"


def hashed(clickhouse, database, view):
    """What a view says, whole, wherever its rows stand in the log."""
    client = clickhouse_connect.get_client(host=clickhouse.host, port=clickhouse.port, database=database)
    hidden = "" if view == "events" else ", logged_at"
    return client.query(f"SELECT count(), sum(cityHash64(* EXCEPT (log_partition, log_offset{hidden}))) FROM {view}").result_rows


@pytest.mark.parametrize(("name", "form", "options"), [("events", "parquet", ()), ("visits", "ndjson", ("--list", "visits"))])
async def test_what_was_exported_is_the_same_elsewhere(clicktrail, rig, elsewhere, cli_environment, tmp_path, name, form, options):
    """The round trip: exported here, imported there, the same rows to the last byte; a second time nothing is written."""
    file = str(tmp_path / f"rows.{form}")
    clicktrail("export", name, "--format", form, "--output", file, code=0)
    cli_environment["CLICKTRAIL_CLICKHOUSE__DATABASE"] = elsewhere
    first = orjson.loads(clicktrail("import", file, *options, "--json", code=0).out)
    assert (first["written"], first["known"]) == (first["rows"], 0)
    assert first["rows"] > 0
    assert hashed(rig.clickhouse, elsewhere, name) == hashed(rig.clickhouse, rig.name, name)
    again = orjson.loads(clicktrail("import", file, *options, "--json", code=0).out)
    assert (again["written"], again["known"]) == (0, first["rows"])


async def test_what_cannot_be_imported_is_said_and_nothing_is_written(clicktrail, rig, elsewhere, cli_environment, tmp_path):
    """Another installation's event of the same id, a payload that NDJSON could not hold, a broken line, a CSV, a list of several tables."""
    file = tmp_path / "events.ndjson"
    clicktrail("export", "events", "--format", "ndjson", "--output", str(file), code=0)
    before = hashed(rig.clickhouse, rig.name, "events")
    rows = file.read_bytes().splitlines()
    changed, broken, lost = tmp_path / "changed.ndjson", tmp_path / "broken.ndjson", tmp_path / "lost.ndjson"
    changed.write_bytes(orjson.dumps(orjson.loads(rows[0]) | {"message": "of somebody else"}))
    broken.write_bytes(rows[0] + b"\n{\n")
    lost.write_bytes(orjson.dumps(orjson.loads(rows[-1]) | {"event_id": "e9-0-0"}))
    assert "1 rows of the file are here already and differ" in clicktrail("import", str(changed), code=2).said
    assert "ClickHouse refused" in clicktrail("import", str(broken), code=2).said
    assert "Parquet" in clicktrail("import", str(lost), code=2).said
    assert "spreadsheets" in clicktrail("import", str(tmp_path / "x.csv"), code=2).said
    assert "cannot be read" in clicktrail("import", str(tmp_path / "nowhere.parquet"), code=2).said
    assert "cannot be imported" in clicktrail("import", str(changed), "--list", "postbacks", code=2).said
    assert hashed(rig.clickhouse, rig.name, "events") == before
    left = clicktrail("sql", "SELECT count() AS left FROM system.tables WHERE name LIKE 'import_%'", "--json")
    assert left.code != 0 or orjson.loads(left.out)["left"] in (0, "0")


def test_the_interactive_tail_on_a_terminal(rig, cli_environment):
    """Keys on a real terminal (a pty): rows, the details of one, a search, and out with the terminal as it was. Piped, it is lines."""
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (30, 160))
    before = termios.tcgetattr(slave)
    env = cli_environment | {"TERM": "xterm-256color"}
    process = subprocess.Popen([sys.executable, "-m", "console.cli", "tail"], env=env, stdin=slave, stdout=slave, stderr=slave)
    try:
        until(master, "e1-0-9")
        os.write(master, b"k")
        os.write(master, b"d")
        until(master, "Next:")
        os.write(master, b"c")
        until(master, "]52;c;")
        os.write(master, b"/e1-0-3\r")
        until(master, "search e1-0-3")
        os.write(master, b"q")
        assert process.wait(60) == 0
        assert termios.tcgetattr(slave) == before
    finally:
        process.kill()
        os.close(master)
        os.close(slave)


def until(terminal, text):
    """Read what was drawn until a text stands there."""
    seen, ends_at = "", time.monotonic() + 60
    while text not in seen:
        assert time.monotonic() < ends_at, seen[-3000:]
        if select.select([terminal], [], [], 1)[0]:
            seen += os.read(terminal, 1 << 16).decode(errors="replace")


async def test_a_rebuilt_row_that_differs_is_counted(rig, elsewhere):
    """Rows with a NULL in them are compared, too: a hash of several arguments with a NULL among them would be NULL."""
    settings = Settings(clickhouse=ClickHouseSettings(url=rig.clickhouse.url, database=rig.name))
    found = {row.table: row for row in await asyncio.to_thread(rebuild.compared, settings, elsewhere)}
    assert found["visits"].missing == found["visits"].rows > 0  # they stand at another place of the log
