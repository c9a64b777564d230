"""The command line: a table of verbs, the same manners for each, and sentences that come from the row."""

import inspect
import io
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import orjson
import pytest
from rich.text import Text

from console import cli, lagging, output
from console.commands import events, feed
from console.explaining import explained
from console.spoken import spoken
from deploy.local import running
from deploy.local.demo_traffic import clicks, steps
from deploy.local.generated import Generator
from deploy.local.processes import MANY_DEATHS, Supervised
from schemas import presets, workspace
from schemas.reasons import REASONS, STATUSES
from streams.runtime.errors import BadSettings, Unavailable

TARGETS = [(name, target) for name, target in cli.VERBS] + [
    (f"{group} {verb}", target) for group, _, verbs in cli.GROUPS for verb, target in verbs
]


@pytest.mark.parametrize(("name", "target"), TARGETS)
def test_every_verb_explains_itself_and_speaks_json(name, target):
    function = cli.loaded(target)
    assert inspect.getdoc(function), name
    assert name == "worker" or "as_json" in inspect.signature(function).parameters


def test_only_the_called_verb_is_loaded():
    assert [command.name for command in cli.build("sql").registered_commands] == ["sql"]
    assert len(cli.build("nonsense").registered_commands) == len(cli.VERBS)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("sqll",), 2, "No such command"),
        (("sql",), 2, "Missing argument"),
        (("worker", "ledgr"), 2, "Did you mean ledger?"),
        (("apply", "-f", "/nowhere.yaml"), 2, "cannot be read"),
        (("schema", "other"), 2, "no schema"),
        (("sql", "SELECT 1"), 3, "ClickHouse does not answer"),
        (("topics", "ls"), 3, "Kafka does not answer"),
        (("send", "-", "--source", "x"), 3, "Ingest does not answer"),
        (("schema", "workspace"), 0, ""),
        (("presets", "ls"), 0, ""),
        (("presets", "show", "Stripe"), 2, "There is no preset 'Stripe'.\n  Did you mean stripe?"),
    ],
)
def test_exit_codes(clicktrail, arguments, code, said):
    found, _, stderr = clicktrail(*arguments, stdin=b"{}")
    assert (found, said in stderr) == (code, True), stderr


@pytest.mark.parametrize(
    ("content", "held"), [(b'"hello"', "a text"), (b"hello", "a text"), (b"[]", "a list"), (b"3", "3"), (b"true", "True")]
)
def test_a_file_that_is_no_workspace_is_told_what_one_is(clicktrail, content, held):
    code, _, said = clicktrail("apply", "-f", "-", stdin=content)
    assert code == 2
    assert f"-: file: it holds {held}; a workspace is lists by their names: properties, " in said


@pytest.mark.parametrize("arguments", [("lag",), ("sql", "SELECT 1"), ("gen", "--seconds", "0.5", "--rate", "50"), ("users", "ls")])
def test_what_is_away_is_said_once_and_without_the_libraries_words(clicktrail, capfd, arguments):
    """One sentence and the next step. As a process: loggers write to the real stderr."""
    code, out, said = clicktrail(*arguments)
    assert (code, out) == (3, b"")
    assert len(said.splitlines()) == 2
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("arguments", [("up",), ("up", "--detach"), ("worker", "ingest")])
def test_a_data_folder_that_cannot_be_one_is_a_setting_to_correct(clicktrail, cli_environment, tmp_path, arguments):
    (tmp_path / "file").write_text("not a folder")
    cli_environment["CLICKTRAIL_DATA_DIR"] = str(tmp_path / "file")
    cli_environment["CLICKTRAIL_PII_KEY"] = "k"
    code, _, said = clicktrail(*arguments)
    assert code == 2
    assert f"The folder {tmp_path / 'file'}" in said
    assert "Traceback" not in said


def test_the_key_that_up_made_is_known_and_no_secret_is_shown(clicktrail, cli_environment, tmp_path):
    def shown():
        return {row["name"].removeprefix("CLICKTRAIL_"): row for row in orjson.loads(clicktrail("config", "show", "--json", code=0).out)}

    assert (shown()["PII_KEY"]["value"], shown()["PII_KEY"]["source"]) == ("", "default")
    (tmp_path / "pii.key").write_text("s3cret-key")
    cli_environment |= {
        "CLICKTRAIL_CLICKHOUSE__URL": "http://ann:s3cr/et@s3cret@house:8123/?password=s3cret",
        "CLICKTRAIL_CLICKHOUSE__PASSWORD": "s3cret",
        "CLICKTRAIL_KAFKA__SASL_PASSWORD": "s3cret",
        "CLICKTRAIL_INGEST__PUBLIC_URL": "https://s3cret@in.example",
    }
    found = shown()
    assert (found["PII_KEY"]["value"], found["PII_KEY"]["source"]) == ("***", str(tmp_path / "pii.key"))
    assert found["CLICKHOUSE__URL"]["value"] == "http://***@house:8123/?password=***"
    for arguments in (("config", "show", "--json"), ("config", "show"), ("status",), ("doctor",)):
        ended = clicktrail(*arguments)
        assert b"s3cr" not in ended.out
        assert "s3cr" not in ended.said


def test_settings_are_shown_as_json(clicktrail, tmp_path):
    code, stdout, _ = clicktrail("config", "show", "--json")
    row = next(row for row in orjson.loads(stdout) if row["name"] == "CLICKTRAIL_DATA_DIR")
    assert (code, row["value"], row["source"]) == (0, str(tmp_path), "env")


def test_a_wrong_country_file_is_found_before_anything_runs(clicktrail, cli_environment, tmp_path):
    cli_environment["CLICKTRAIL_INGEST__GEOIP_DATABASE"] = str(tmp_path / "nowhere.mmdb")
    code, _, said = clicktrail("config", "check")
    assert (code, "CLICKTRAIL_INGEST__GEOIP_DATABASE" in said) == (2, True)


@pytest.mark.parametrize("name", presets.names())
def test_a_preset_is_shown_with_all_that_a_person_needs(clicktrail, name):
    code, raw, _ = clicktrail("presets", "show", name)
    stdout = raw.decode()
    found = orjson.loads(clicktrail("presets", "show", name, "--json")[1])
    preset = presets.get(name)
    assert code == 0
    assert all(text in stdout for text in (preset.title, found["url"], *preset.paste, *preset.traps, *preset.read_at))
    assert all(field in stdout and addresses[0] in stdout for field, addresses in found["mapping"].items())
    assert found["url"] == f"http://127.0.0.1:1/in/{name}" + (f"?{preset.query}" if preset.query else "")


def test_the_source_that_a_preset_shows_can_be_applied(clicktrail):
    """With its gaps filled in, what is printed for the workspace file is a source."""
    for row in orjson.loads(clicktrail("presets", "ls", "--json")[1]):
        shown = orjson.loads(clicktrail("presets", "show", row["preset"], "--source", "mine", "--json")[1])["source"]
        file = workspace.load("properties: [{id: x, name: X}]\n" + shown.replace("…", "x"))
        assert (file.sources[0].id, file.sources[0].kind, file.sources[0].auth.kind) == ("mine", row["kind"], row["auth"])


def test_nothing_is_running_is_exit_code_3(clicktrail):
    code, stdout, _ = clicktrail("status", "--json")
    assert (code, orjson.loads(stdout)["state"]) == (3, "stopped")


def test_as_a_process_a_typing_error_in_a_setting_is_exit_code_2():
    done = subprocess.run(
        [sys.executable, "-m", "console.cli", "config", "check"],
        capture_output=True, text=True, timeout=60, check=False, env=os.environ | {"CLICKTRAIL_KAFKA__EPOC": "1"},
    )  # fmt: skip
    assert done.returncode == 2
    assert "Did you mean CLICKTRAIL_KAFKA__EPOCH?" in done.stderr


def test_colour_is_left_out_where_it_is_not_wanted(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", "1")
    output.show_table([{"status": "error"}])
    output.stdout().print(Text("quiet", style="dim bold"))
    assert "\x1b" not in sys.stdout.getvalue()
    assert "error" in sys.stdout.getvalue()  # never by colour alone


@pytest.mark.parametrize(("value", "text"), [("49.90000000", "49.90"), ("0.00125", "0.00125"), ("5", "5"), ("5.00000000", "5.00")])
def test_money_is_shown_without_the_zeros_of_its_column(value, text):
    assert output.as_text(Decimal(value)) == text


ROW = {
    "event_id": "e1-4-1027", "revision": 1, "status": "error", "reason": "unknown_click_id", "sub_reason": "window_expired", "message": "Error: Unknown click_id",
    "source_id": "network", "property_id": "shop", "original_status": "approved", "conversion_status": "approved", "original_name": None,
    "conversion_name": "Purchase", "transaction_id": "N-9", "is_test": False, "parameters": {"sub5": "x"},
    "trace": '[["property","passed",""],["status","passed",""],["duplicate","passed","nothing recorded before"],["attribution","decided","click_id: window_expired (6 days late)"],["new_rule","decided","why"]]',
    "evidence": '{"tried":[["click_id","window_expired","6 days late"]],"click":{"id":"x"},"none":null}',
}  # fmt: skip


def test_an_explanation_is_the_trace_in_sentences_with_cause_and_remedy():
    found = explained(ROW)
    assert found["steps"] == [
        "Source network may report for property shop.",
        'Its status "approved" means approved.',
        "It is no duplicate: nothing recorded before (transaction N-9).",
        "Its click does not count or was not found: click_id: window_expired (6 days late).",
        "new_rule: decided (why).",
    ]
    assert found["evidence"] == ["tried 1: click_id, window_expired, 6 days late", "click.id: x"]
    assert found["because"] == "its click is older than the attribution window"
    assert "window" in found["remedy"]
    assert explained(ROW | {"sub_reason": None})["causes"]
    noted = explained(ROW | {"parameters": {"currency": "dollars", "(currency)": "'dollars' is no currency, USD was taken"}})
    assert noted["evidence"][-1] == "currency: 'dollars' is no currency, USD was taken"


def test_tail_shows_each_verdict_once_and_late_ones_too():
    at = datetime(2026, 1, 1, tzinfo=UTC)
    stored = [{"event_id": f"e1-0-{n}", "revision": 1, "judged_at": at + timedelta(seconds=n)} for n in range(3)]

    def ask(statement, parameters):
        if "now64" in statement:
            return [{"now": at}]
        if "DESC" in statement:
            return sorted(stored, key=lambda row: row["judged_at"], reverse=True)[: parameters["limit"]]
        return sorted(stored, key=lambda row: row["judged_at"])

    tail = events.follow(ask, {}, 2, is_following=True, every_s=0)
    assert [next(tail)["event_id"] for _ in range(2)] == ["e1-0-1", "e1-0-2"]
    stored.append({"event_id": "e1-1-7", "revision": 1, "judged_at": at + timedelta(seconds=1)})  # another partition, a little late
    stored.append({"event_id": "e1-0-1", "revision": 2, "judged_at": at + timedelta(seconds=9)})
    assert [(row["event_id"], row["revision"]) for row in (next(tail), next(tail))] == [("e1-1-7", 1), ("e1-0-1", 2)]


def test_a_line_of_the_tail_says_status_and_reason_in_words():
    row = ROW | {
        "judged_at": datetime(2026, 1, 1, 10, 0, 0, 5000, tzinfo=UTC),
        "value": Decimal("49.90000000"),
        "currency": "EUR",
        "type": "postback",
        "revision": 2,
    }
    text = events.line(row).plain
    assert all(part in text for part in ("10:00:00.005", "✘ error", "network", "49.90 EUR", "Unknown click_id", "e1-4-1027 r2"))


@pytest.mark.parametrize(("seconds", "text"), [(0.412, "0.412s"), (65, "1m 5s"), (3 * 86400 + 4 * 3600 + 5, "3d 4h"), (1, "1s")])
def test_durations_are_spoken_in_two_units(seconds, text):
    assert spoken(timedelta(seconds=seconds)) == text


@pytest.mark.parametrize(
    ("content", "path", "kind"),
    [
        (b'{"a": 1}', "/in/s", "application/json"),
        (b'{"a":1}\n{"a":2}\n', "/in/s/bulk", "application/x-ndjson"),
        (b'{"a":1}\nbroken\n', "/in/s/bulk", "application/x-ndjson"),
        (b"\xef\xbb\xbforder_id;value\r\nT1;1,50\r\n", "/in/s/bulk", "text/csv"),
        (b"order_id,value\n", "/in/s", "application/x-www-form-urlencoded"),
        (b"<order/>", "/in/s", "application/xml"),
        (b"a=1&b=2", "/in/s", "application/x-www-form-urlencoded"),
        (b'{\n "a": 1\n}', "/in/s", "application/json"),
    ],
)
def test_send_says_what_the_content_looks_like(content, path, kind):
    request = feed.request_of("s", content, is_bulk=feed.looks_bulk(content))
    assert (request.path, request.content_type) == (path, kind)


def test_a_transactions_marker_is_no_lag():
    assert lagging.row("sink", ("clicktrail.events.v1", 0), 10, 11)["lag"] == 0
    assert lagging.row("sink", ("clicktrail.events.v1", 0), 10, 12)["lag"] == 2
    assert lagging.row("ledger", ("clicktrail.payloads.v1", 0), 10, 11)["lag"] == 1
    assert lagging.row("ledger", ("clicktrail.payloads.v1", 0), None, 0)["lag"] == 0


def test_the_same_seed_makes_the_same_traffic():
    def first(seed, count=500):
        return [request for request, _ in zip(Generator(seed), range(count), strict=False)]

    assert first(3) == first(3)
    assert first(3) != first(4)
    assert {request.path.split("/")[1] for request in first(3)} == {"in", "t"}


def test_the_demo_shows_every_status_and_every_reason():
    shown = steps()
    assert {step.status for step in shown} == {status.code for status in STATUSES}
    assert {step.reason for step in shown} == {reason.code for reason in REASONS}
    assert all(request.path.startswith("/t/") for request in clicks(0))


def test_one_up_per_data_folder_and_a_dead_one_does_not_block(tmp_path):
    assert not running.is_alive(tmp_path)
    with running.take(tmp_path):
        running.write(tmp_path, {"pid": os.getpid(), "settings": {"CLICKTRAIL_METRICS_PORT": "1"}})
        assert running.is_alive(tmp_path)
        assert running.settings_of(tmp_path) == {"CLICKTRAIL_METRICS_PORT": "1"}
        with pytest.raises(BadSettings, match=str(os.getpid())):
            running.take(tmp_path)
    assert not running.is_alive(tmp_path)
    assert running.settings_of(tmp_path) == {}
    running.take(tmp_path).close()


def test_a_process_that_keeps_dying_is_told_of_and_tried_again(tmp_path, monkeypatch):
    """Whoever starts everything gives up on it, with its last words; whoever runs everything goes on."""
    monkeypatch.setattr("deploy.local.processes.BACKOFF_S", (0.0,) * MANY_DEATHS)
    role = Supervised("role", [sys.executable, "-c", "print('no luck')"], tmp_path / "role.log")
    role.start()
    said = []
    while role.restarts < MANY_DEATHS + 2:
        if happened := role.watch():
            said.append(happened)
    assert said[0].startswith("role ended with code 0")
    assert "times in a row" not in said[MANY_DEATHS - 1]
    assert role.keeps_dying
    assert said[-1].startswith(f"role ended with code 0, {MANY_DEATHS + 2} times in a row; starting it again in")
    assert "no luck" in role.last_words()


def test_unavailable_says_what_to_do():
    assert str(Unavailable("Kafka does not answer.", "Start it.")) == "Kafka does not answer. Start it."
