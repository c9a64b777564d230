"""`clicktrail up` as a newcomer and an operator meet it: from nothing to a row, through a killed role, down without a trace.

One run for all tests, in their order, because a start costs seconds: the demo's rows, one of our own, a killed role, a killed supervisor.
"""

import os
import signal
import subprocess
import sys
import time

import orjson
import pytest

from deploy.local import running
from deploy.local.demo_traffic import steps
from deploy.local.ports import is_free, require_free
from tests import command_line
from tests.integration.up_rig import FOUND, Installation


@pytest.fixture(scope="module")
def installation(tmp_path_factory):
    made = Installation(tmp_path_factory.mktemp("up"))
    try:
        made.up()
        yield made
    finally:
        made.remove()


def test_the_demo_gets_the_verdict_that_stands_beside_each_payload(installation):
    rows = installation.rows(f"{FOUND} ORDER BY received_at, partition, offset")
    assert len(rows) == len(steps())
    expected = sorted((step.status, step.reason, step.revision) for step in steps())
    assert sorted((row["status"], row["reason"], row["revision"]) for row in rows) == expected
    details = {word for row in rows for word in (row["sub_reason"], row["match_kind"])}
    assert {step.detail for step in steps()} <= details | {""}


def test_the_demo_speaks_in_the_words_of_the_pages(installation):
    """A04 A09 A10 A11 A20 A24 A25 A26 A27 A29 A30 A31 A32 A33 A34 A35 A36 A37: through ingest, Kafka and the roles into ClickHouse.

    A14 A15 A16 A17 A18 A21: duplicates of three kinds are no conversions and reach no destination. R11 R12 R13: Info, Success, Failure.
    """
    rows = installation.rows("SELECT event_id, source_id, status, sub_reason, message, view_status, match_kind FROM events")
    said = {row["message"] for row in rows}
    assert said >= {
        "Conversion recorded", "Wrong conversion status: pending", "Wrong conversion status: rejected", "Wrong conversion status: frozen",
        "Filtered event type: PageView", "Test or sandbox data", "Information captured, referral not created: invalid member link",
        "Error: Can't find refId: nobody@customers.example", 'Error: No click id value passed to the "sub5" parameter', "Error: Unknown click_id",
        "Error: Can't find event: N-10", "Error: Unauthorized asset: blog", "Error: No IP match",
    }  # fmt: skip
    causes = {row["sub_reason"] for row in rows if row["message"] == "Error: Unknown click_id"}
    assert causes == {"never_seen", "other_property", "window_expired"}
    assert {row["match_kind"] for row in rows if row["status"] == "ok"} == {"click_id", "email", "phone", "ip"}
    shown = {"ok": "success", "discarded": "info", "deduplicated": "info", "error": "failure"}
    assert all(row["view_status"] == shown[row["status"]] for row in rows)
    duplicates = [row for row in rows if row["status"] == "deduplicated"]
    assert {row["source_id"] for row in duplicates} == {"network", "webshop", "api"}
    told = {row["event_id"] for row in installation.json("postbacks", "ls")}
    assert told & {row["event_id"] for row in duplicates} == set()


def test_the_demo_shows_postbacks_that_arrive_and_one_that_does_not(installation):
    """C10, C13 to C16: from the first `up` on, to the demo's own destinations."""
    found = installation.json("postbacks", "ls")
    said = {(row["destination_id"], row["state"], row["is_error"], row["status_code"], row["error_message"]) for row in found}
    assert said == {("social-postback", "delivered", 0, 200, None), ("partner-postback", "failed", 1, 404, "404 Not Found")}
    assert {row["kind"] for row in found} == {"conversion", "retraction"}
    urls = [row["postback_url"] for row in found if row["click_id"] == "demo-ann"]
    assert [url.partition("?")[2] for url in urls] == ["clickid=ad-demo-ann&payout=49.9&event=sale&status=approved&key=***"]


def test_everything_is_ready_and_says_so(installation):
    status = installation.json("status")
    assert status["state"] == "running"
    assert {process["name"] for process in status["processes"]} == {
        "kafka",
        "clickhouse",
        "ingest",
        "ledger",
        "attribution",
        "delivery",
        "sink",
        "console",
    }
    checks = installation.json("doctor", "--conservation")
    assert all(check["state"] == "ok" for check in checks), checks
    assert all(topic["state"] == "ok" for topic in installation.json("topics", "ls"))
    assert installation.json("dlq", "ls") == []
    assert sum(row["lag"] for row in installation.json("lag")) == 0


def test_a_payload_of_ones_own_is_a_row_within_a_second_or_so(installation):
    """A12, A15: and the same URL fired again is a duplicate of it."""
    answer = installation.send("/in/network?sub5=demo-dan&txid=MINE-1&payout=25&status=approved")
    row, seconds = installation.row_of(answer["event_id"], within_s=15)
    assert (row["status"], row["reason"], row["match_kind"]) == ("ok", "recorded", "click_id")
    assert answer["inspect"].endswith(answer["event_id"])
    print(f"\nanswer -> row: {seconds:.2f} s")
    assert installation.json("get", answer["receipt_id"])["event_id"] == answer["event_id"]
    again = installation.send("/in/network?sub5=demo-dan&txid=MINE-1&payout=25&status=approved")
    row, _ = installation.row_of(again["event_id"], within_s=15)
    assert (row["status"], row["message"]) == ("deduplicated", f"Already processed this exact conversion: {answer['event_id']}")


def test_verbs_that_read(installation):
    (event_id,) = [row["event_id"] for row in installation.rows(f"{FOUND} WHERE sub_reason = 'window_expired'")]
    explained = installation.json("explain", event_id)
    assert explained["reason"] == "unknown_click_id"
    assert "window" in explained["because"]
    assert installation.json("get", event_id)["event_id"] == event_id
    assert [row["what"] for row in installation.json("timeline", "demo-late")] == ["click", "Purchase", "postback"]
    lines = installation.run("tail", "--no-follow", "-n", "3", "--status", "error", "--output", "json").splitlines()
    assert [orjson.loads(line)["status"] for line in lines] == ["error"] * 3
    for verb in ("get", "explain", "timeline"):
        ended = command_line.run(verb, "e9-9-9", env=installation.environment, code=1)
        assert "e9-9-9" in ended.said
    assert installation.run("sql", "SELECT 1 AS one FORMAT CSVWithNames").split() == ['"one"', "1"]


ODD = {
    "half a surrogate pair": ("POST", "", b'{"sub5":"demo-dan","txid":"ODD-1","payout":"1","status":"approved","note":"\\ud83d!"}', {"note": "\ufffd!"}),
    "its bytes": ("POST", "", b'{"sub5":"demo-dan","txid":"ODD-2","payout":"1","status":"approved","note":"\xed\xa0\xbd"}', {"txid": "ODD-2"}),
    "keys of JSON": ("POST", "", b'{"sub5":"","sub5":"demo-dan","txid":"ODD-3","txid":"X","payout":1,"status":"approved"}',
                     {"sub5": "demo-dan", "sub5.0": "", "sub5.1": "demo-dan", "txid": "ODD-3", "txid.0": "ODD-3", "txid.1": "X"}),
    "keys of a query": ("GET", "?sub5=demo-dan&txid=ODD-4&txid=X&payout=1&status=approved&status=pending", None,
                        {"txid": "ODD-4", "txid.1": "X", "status": "approved", "status.1": "pending"}),
    "keys of a form": ("POST", "", b"sub5=demo-dan&txid=&txid=ODD-5&payout=1&status=approved", {"txid": "ODD-5", "txid.0": "", "txid.1": "ODD-5"}),
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_what_can_be_read_in_two_ways_is_one_verdict_over_the_bytes_as_received(installation, name):
    """Half surrogates and repeated keys: nothing crashes, the first value that is not empty counts, all are listed, the hash is of the bytes."""
    method, query, body, parameters = ODD[name]
    answer = installation.send(f"/in/network{query}", body, method)
    row, _ = installation.row_of(answer["event_id"], within_s=30)
    assert (row["status"], row["reason"]) == ("ok", "recorded")
    columns = "parameters, hex(payload) AS raw, lower(hex(SHA256(payload))) = payload_sha256 AS is_whole"
    (found,) = installation.rows(f"SELECT {columns} FROM event_revisions WHERE event_id = '{answer['event_id']}'")
    assert bytes.fromhex(found["raw"]) == (query[1:].encode() if body is None else body)
    assert found["is_whole"]
    assert {field: found["parameters"].get(field) for field in parameters} == parameters


def test_the_workspace_is_applied_as_a_difference(installation, tmp_path):
    path = tmp_path / "workspace.yaml"
    path.write_text(installation.run("export-workspace"))
    assert installation.json("apply", "-f", str(path))["changes"] == []
    path.write_text(path.read_text().replace("name: Demo shop", "name: Our shop"))
    wanted = installation.json("apply", "-f", str(path), "--dry-run", codes=(1,))["changes"]
    assert [(change["action"], change["entity_id"]) for change in wanted] == [("updated", "shop")]
    done = installation.json("apply", "-f", str(path), "--author", "ann", "--reason", "a better name")["changes"]
    assert done[0]["diff"] == [{"path": "name", "before": "Demo shop", "after": "Our shop"}]
    for _ in range(50):
        found = installation.rows("SELECT author, reason, action FROM activity WHERE entity_id = 'shop' ORDER BY changed_at DESC LIMIT 1")
        if found[0]["author"] == "ann":
            break
        time.sleep(0.1)
    assert found == [{"author": "ann", "reason": "a better name", "action": "updated"}]


def test_a_killed_role_comes_back_and_nothing_is_lost(installation):
    sent = []
    for number, role in enumerate(("ledger", "sink")):
        os.kill(installation.pid_of(role), signal.SIGKILL)
        sent.append(installation.send(f"/in/network?sub5=demo-dan&txid=KILL-{number}&payout=25&status=approved")["event_id"])
    for event_id in sent:
        row, seconds = installation.row_of(event_id, within_s=40)
        assert (row["status"], row["revision"]) == ("ok", 1)
        print(f"\nkilled -> row: {seconds:.2f} s")
    restarts = {process["name"]: process["restarts"] for process in installation.json("status", codes=(0, 1))["processes"]}
    assert (restarts["ledger"], restarts["sink"], restarts["ingest"]) == (1, 1, 0)


HANGS = {
    "clickhouse": (("sql", "SELECT 1"), ("tail", "--no-follow")),
    "kafka": (("lag",), ("export-workspace",)),
}


@pytest.mark.parametrize("service", HANGS)
def test_a_service_that_hangs_is_called_so(installation, service):
    """A stopped process keeps its ports and its connections; only a question tells. Whoever asks for something learns it in seconds."""
    pid = installation.pid_of(service)
    os.kill(pid, signal.SIGSTOP)
    try:
        installation.wait_until(lambda ready: ready[service].startswith("no answer") and f"{service} no answer" in ready["sink"])
        for arguments in HANGS[service]:
            ended = command_line.run(*arguments, env=installation.environment, code=3)
            assert f"{'ClickHouse' if service == 'clickhouse' else 'Kafka'} does not answer at " in ended.said
        failed = {check["check"] for check in installation.json("doctor", codes=(1,)) if check["state"] == "failed"}
        assert "role sink" in failed
    finally:
        os.kill(pid, signal.SIGCONT)
    installation.wait_until(lambda ready: set(ready.values()) == {"ok"})


def test_a_second_up_on_the_same_folder_or_port_is_refused(installation):
    installation.command("up", codes=(2,))
    other = Installation(installation.folder.parent / "other")
    other.ports = installation.ports
    flags = [part for name, port in other.ports.items() for part in (f"--{name}-port", str(port))]
    other.command("up", *flags, codes=(3,))
    assert other.processes() == []


def test_ctrl_c_during_the_first_start_ends_it_without_an_error(tmp_path):
    """The terminal sends it to every process of the foreground; a tool that it ended looked like one that failed."""
    fresh = Installation(tmp_path / "data")
    flags = [part for name, port in fresh.ports.items() for part in (f"--{name}-port", str(port))]
    up = subprocess.Popen(
        [sys.executable, "-m", "console.cli", "up", "--no-seed", *flags],
        env=fresh.environment,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        while not (fresh.folder / "kafka" / "server.properties").exists():  # now Kafka's tool formats the folder
            assert up.poll() is None, up.stderr.read()
            time.sleep(0.01)
        os.killpg(up.pid, signal.SIGINT)
        _, said = up.communicate(timeout=120)
    finally:
        up.kill()
    assert "Stopping" in said
    assert not [word for word in ("Error", "cannot format", "Traceback", "Ready after") if word in said], said
    assert up.returncode == 0
    assert fresh.processes() == []


def test_down_leaves_no_process_and_the_data_is_found_again(installation):
    rows = installation.rows("SELECT count() AS found FROM events")[0]["found"]
    began = time.monotonic()
    assert orjson.loads(installation.command("down", "--json"))["stopped"]
    assert time.monotonic() - began < 15
    assert installation.processes() == []
    assert installation.json("status", codes=(3,))["state"] == "stopped"
    installation.up()
    assert installation.rows("SELECT count() AS found FROM events")[0]["found"] == rows


def test_a_killed_supervisor_takes_everything_with_it_and_blocks_nothing(installation):
    os.kill(installation.json("status")["pid"], signal.SIGKILL)
    deadline = time.monotonic() + 10
    while installation.processes() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert installation.processes() == []
    assert installation.json("status", codes=(3,))["state"] == "stopped"
    running.take(installation.folder).close()
    # A killed process is a zombie as soon as its first thread has ended; its ports are free when the last one has.
    while not all(map(is_free, installation.ports.values())) and time.monotonic() < deadline:
        time.sleep(0.05)
    for port in installation.ports.values():
        require_free(port, "")
