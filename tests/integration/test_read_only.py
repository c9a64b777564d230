"""SQL of people: what is a question to our tables is answered, and every way out of them that we know is refused, on a real engine.

Each attack is tried twice: at the gate (`sinks/read_only.py`, as the console asks), and at the endpoint as the restricted user, without the gate.
"""

import asyncio
import contextlib
import http.client
import http.server
import threading
import urllib.parse
from pathlib import Path

import pytest

from console.asking import Asker
from console.sql import SqlDesk, checked
from console.warehouse import Warehouse
from sinks import migrations, read_only
from sinks.feeds import FEEDS
from sinks.schema import Column
from sinks.store import Store
from sinks.tables import TABLES
from sinks.views import VIEWS
from streams.runtime.connections import ClickHouseSettings
from streams.runtime.errors import BadSettings
from streams.runtime.settings import Settings
from streams.stage import Record
from tests.integration.sink_rig import row

NAME = "read_only"
SECRET = "the content of a file"


@pytest.fixture(scope="module")
async def desk(clickhouse):
    await asyncio.to_thread(migrations.migrate, clickhouse.url, NAME)
    store = Store(clickhouse.url, NAME)
    await store.insert(FEEDS[0], [Record(FEEDS[0].topic, 0, n, 1_790_000_000_000 + n, None, row(n)) for n in range(3)])
    await store.close()
    settings = ClickHouseSettings(url=clickhouse.url, database=NAME)
    reader, asker = Asker(settings), Asker(settings.model_copy(update={"user": read_only.QUERY_USER}))
    yield SqlDesk(reader, asker, NAME)
    await reader.close()
    await asker.close()


@pytest.fixture(scope="module")
def secret(tmp_path_factory):
    path = tmp_path_factory.mktemp("secret") / "secret.csv"
    path.write_text(SECRET)
    return path


@pytest.fixture(scope="module")
def canary():
    """A server that notes who calls it: nobody may."""
    calls = []

    class Noting(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            calls.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"called\n")

        do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815 - http.server's names

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Noting)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_port, calls
    server.shutdown()
    thread.join()


async def answer(desk, text, values=None):
    found = await desk.checked(text, values or {})
    return b"".join([piece async for piece in await desk.stream(found.question, found.output_format or "TabSeparated")])


QUESTIONS = [
    ("SELECT count() FROM events", b"3\n"),
    (f"SELECT count() FROM {NAME}.events", b"3\n"),
    ("WITH ok AS (SELECT * FROM events WHERE status = 'ok') SELECT count() FROM ok", b"3\n"),
    ("SELECT sum(value) AS revenue, currency FROM events GROUP BY currency HAVING revenue > 0", b"37.5\tUSD\n"),
    ("SELECT count() FROM events AS a INNER JOIN events AS b USING (event_id)", b"3\n"),
    ("SELECT countIf(status = 'ok'), uniqExactIf(click_id, status = 'ok'), quantileExact(0.5)(toFloat64(value)) FROM events", b"3\t3\t12.5\n"),
    ("SELECT max(n) FROM (SELECT row_number() OVER (PARTITION BY source_id ORDER BY received_at) AS n FROM events)", b"3\n"),
    ("SELECT sum(number) FROM numbers(5)", b"10\n"),
    ("SELECT 'file(' || $$url($$ -- remote(", b"file(url(\n"),
    ("(SELECT 1) UNION ALL (SELECT 1)", b"1\n1\n"),
    ("SELECT CASE WHEN 1 THEN 'a' ELSE 'b' END, if(1, 2, 3), toYear(toDate('2026-01-01')), arrayMap(x -> x + 1, [1]), [1, 2][2]", b"a\t2\t2026\t[2]\t2\n"),
    ("SELECT url, revision FROM visits, events WHERE 0", b""),
    ("SELECT parameters['amount'] FROM events LIMIT 1 FORMAT JSONEachRow", b'{"arrayElement(parameters, \'amount\')":"12.50"}\n'),
    ("SELECT count() FROM events WHERE status IN ('ok') AND event_id IN (SELECT event_id FROM events);", b"3\n"),
    ("SELECT JSONExtractString(trace, 1, 1) FROM events LIMIT 1", b"dedup\n"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "found"), QUESTIONS, ids=[text[:60] for text, _ in QUESTIONS])
async def test_questions_are_answered(desk, text, found):
    assert await answer(desk, text) == found


async def test_describing_and_explaining_is_asking(desk):
    assert b"event_id\tString" in await answer(desk, "DESCRIBE events")
    assert b"events\n" in await answer(desk, "SHOW TABLES")
    assert b"CREATE VIEW" in await answer(desk, "SHOW CREATE TABLE events")
    for kind in ("", "AST", "SYNTAX", "QUERY TREE", "PIPELINE", "ESTIMATE", "indexes = 1"):
        await answer(desk, f"EXPLAIN {kind} SELECT * FROM events WHERE received_at > now()")


async def test_values_are_bound_by_the_server(desk):
    assert await answer(desk, "SELECT count() FROM events WHERE event_id = {id:String}", {"id": "e1-0-1"}) == b"1\n"
    assert await answer(desk, "SELECT {id:String}", {"id": "x' OR 1 --"}) == b"x\\' OR 1 --\n"
    with pytest.raises(BadSettings, match="no parameter 'id'"):
        await answer(desk, "SELECT '%s'", {"id": "1"})
    with pytest.raises(BadSettings):
        await answer(desk, "SELECT * FROM {t:Identifier}", {"t": "system.settings"})
    with pytest.raises(BadSettings):
        await answer(desk, "SELECT arrayMap({f:Identifier}, ['/etc/passwd'])", {"f": "file"})


ATTACKS = """
SELECT file('{path}')
SELECT FILE('{path}')
SELECT "file"('{path}')
SELECT `file`('{path}')
SELECT `fi\\x6ce`('{path}')
SELECT arrayMap(file, ['{path}'])
SELECT arrayMap(x -> file(x), ['{path}'])
SELECT arrayFilter(file, ['{path}'])
WITH f AS (x -> file(x)) SELECT f('{path}')
SELECT * APPLY(file) FROM (SELECT '{path}' AS x)
SELECT * APPLY file FROM (SELECT '{path}' AS x)
SELECT COLUMNS('x') APPLY(y -> file(y)) FROM (SELECT '{path}' AS x)
SELECT * REPLACE(file('{path}') AS x) FROM (SELECT 1 AS x)
SELECT (SELECT file('{path}'))
SELECT 1 WHERE file('{path}') != ''
SELECT 1 FROM events PREWHERE file('{path}') != ''
SELECT count() FROM events GROUP BY GROUPING SETS ((file('{path}')))
SELECT 1 FROM events ORDER BY 1 WITH FILL INTERPOLATE (x AS file('{path}'))
SELECT 1 FROM events AS a JOIN events AS b ON file('{path}') != ''
SELECT 1 FROM events LIMIT 1 BY file('{path}')
SELECT DISTINCT ON (file('{path}')) 1 FROM events
SELECT count() OVER (PARTITION BY file('{path}')) FROM events
SELECT 1 FROM events ARRAY JOIN [file('{path}')] AS x
SELECT /* */ file /* */ ('{path}')
SELECT file--
('{path}')
SELECT * FROM file('{path}', 'LineAsString')
SELECT * FROM File('{path}', 'LineAsString')
SELECT * FROM `file`('{path}', 'LineAsString')
SELECT * FROM '{path}'
SELECT * FROM `{path}`
SELECT * FROM "{path}"
WITH `{path}` AS (SELECT 1) SELECT * FROM `{path}`
SELECT 1 IN `{path}`
SELECT * FROM (SELECT * FROM (SELECT * FROM file('{path}', 'LineAsString')))
SELECT 1 IN (SELECT line FROM file('{path}', 'LineAsString'))
SELECT 1 UNION ALL SELECT line FROM file('{path}', 'LineAsString')
SELECT 1 EXCEPT SELECT line FROM file('{path}', 'LineAsString')
WITH x AS (SELECT * FROM file('{path}', 'LineAsString')) SELECT * FROM x
DESCRIBE file('{path}')
DESCRIBE TABLE file('{path}', 'LineAsString')
DESC (SELECT * FROM file('{path}', 'LineAsString'))
EXPLAIN SELECT * FROM file('{path}', 'LineAsString')
EXPLAIN QUERY TREE SELECT * FROM file('{path}', 'LineAsString')
SELECT * FROM view(SELECT * FROM file('{path}', 'LineAsString'))
SELECT * FROM viewIfPermitted(SELECT * FROM file('{path}', 'LineAsString') ELSE null('x String'))
SELECT * FROM eval('SELECT 1')
SELECT * FROM loop(events) LIMIT 1
SELECT * FROM filesystem('/')
SELECT * FROM fileCluster('default', '{path}', 'LineAsString')
SELECT * FROM sqlite('{path}', 'x')
SELECT * FROM executable('cat {path}', 'TSV', 'x String')
SELECT * FROM python('x')
SELECT * FROM Python(x)
SELECT * FROM url('http://127.0.0.1:{port}/', 'LineAsString')
SELECT * FROM URL('http://127.0.0.1:{port}/', 'LineAsString')
SELECT * FROM urlCluster('default', 'http://127.0.0.1:{port}/', 'LineAsString')
SELECT * FROM s3('http://127.0.0.1:{port}/b/k.csv', 'CSV', 'x String')
SELECT * FROM gcs('http://127.0.0.1:{port}/b/k.csv', 'CSV', 'x String')
SELECT * FROM hdfs('hdfs://127.0.0.1:{port}/x', 'CSV', 'x String')
SELECT * FROM azureBlobStorage('http://127.0.0.1:{port}/', 'c', 'b')
SELECT * FROM iceberg('http://127.0.0.1:{port}/b/')
SELECT * FROM deltaLake('http://127.0.0.1:{port}/b/')
SELECT * FROM hudi('http://127.0.0.1:{port}/b/')
SELECT * FROM remote('127.0.0.1:{port}', 'system', 'one')
SELECT * FROM remote('127.0.0.1:{port}', system.one)
SELECT * FROM remoteSecure('127.0.0.1:{port}', 'system', 'one')
SELECT * FROM cluster('default', system.one)
SELECT * FROM clusterAllReplicas('default', system.one)
SELECT * FROM mysql('127.0.0.1:{port}', 'd', 't', 'u', 'p')
SELECT * FROM postgresql('127.0.0.1:{port}', 'd', 't', 'u', 'p')
SELECT * FROM mongodb('127.0.0.1:{port}', 'd', 't', 'u', 'p', 'x String')
SELECT * FROM redis('127.0.0.1:{port}', 'k', 'k String')
SELECT * FROM jdbc('jdbc:x://127.0.0.1:{port}', 'd', 't')
SELECT * FROM odbc('DSN=x', 'd', 't')
SELECT * FROM prometheusQuery('127.0.0.1', 'x')
SELECT hasColumnInTable('127.0.0.1:{port}', 'u', 'p', 'system', 'one', 'dummy')
SELECT dictGet('x', 'y', 1)
SELECT joinGet('x', 'y', 1)
SELECT aiGenerate('x')
SELECT AIEmbed('x')
SELECT evalMLMethod(1)
SELECT naiveBayesClassifier('m', 'x')
SELECT getSetting('max_threads')
SELECT getServerSetting('max_connections')
SELECT getMacro('x')
SELECT hostName()
SELECT fqdn()
SELECT getOSKernelVersion()
SELECT filesystemAvailable()
SELECT serverUUID()
SELECT showCertificate()
SELECT getClientHTTPHeader('Authorization')
SELECT addressToLine(1)
SELECT logTrace('x')
SELECT sleep(3)
SELECT sleepEachRow(1) FROM numbers(3)
SELECT throwIf(1)
SELECT fuzzQuery('SELECT 1')
SELECT * FROM fuzzQuery('SELECT 1')
SELECT __getScalar('x')
SELECT * FROM system.users
SELECT * FROM system.processes
SELECT * FROM system.query_log
SELECT * FROM `system`.`tables`
SELECT * FROM "system" . "tables"
SELECT * FROM SYSTEM.tables
SELECT * FROM information_schema.tables
SELECT * FROM INFORMATION_SCHEMA.TABLES
SELECT * FROM default.x
SELECT 'x' IN system.databases
SELECT 'x' IN `system`.databases
(SELECT 1) UNION ALL (SELECT 2) SETTINGS max_execution_time = 0
SELECT * FROM merge('system', '')
SELECT * FROM merge('', '.*')
SELECT * FROM mergeTreeIndex({name}, event_revisions)
SELECT * FROM mergeTreeIndex(currentDatabase(), event_revisions)
SELECT * FROM dictionary('x')
SELECT * FROM generateRandom('x String') LIMIT 1
SELECT * FROM null('x String')
SELECT * FROM input('x String')
SELECT * FROM format(CSV, '1')
SHOW TABLES FROM system
SHOW TABLES IN system
SHOW CREATE TABLE system.one
SHOW CREATE TABLE `system`.`one`
SHOW PROCESSLIST
SHOW GRANTS
SHOW USERS
SHOW SETTINGS LIKE '%'
SHOW FUNCTIONS
SHOW COLUMNS FROM one FROM system
SHOW COLUMNS FROM events
SHOW DICTIONARIES
SHOW MERGES
DESCRIBE system.users
EXPLAIN AST DROP TABLE events
EXPLAIN SYNTAX INSERT INTO event_revisions SELECT 1
EXPLAIN CURRENT TRANSACTION
EXPLAIN TABLE OVERRIDE mysql('127.0.0.1:{port}', 'd', 't', 'u', 'p')
EXPLAIN EXPLAIN SELECT 1
INSERT INTO event_revisions (event_id) VALUES ('x')
INSERT INTO FUNCTION file('{path}.new', 'CSV', 'x String') VALUES ('x')
INSERT INTO FUNCTION url('http://127.0.0.1:{port}/', 'CSV', 'x String') SELECT 'x'
WITH x AS (SELECT 1) INSERT INTO event_revisions (event_id) SELECT 'x'
SELECT 1 INTO OUTFILE '{path}.out'
SELECT 1 INTO /* */ OUTFILE '{path}.out'
SELECT 1 INTO OUTFILE '{path}' TRUNCATE
SELECT 1 UNION ALL SELECT 2 INTO OUTFILE '{path}.out'
(SELECT 1 INTO OUTFILE '{path}.out')
CREATE TABLE x (a Int8) ENGINE = Memory
CREATE TEMPORARY TABLE x (a Int8)
CREATE FUNCTION f AS (x) -> file(x)
CREATE OR REPLACE VIEW events AS SELECT 1
CREATE DATABASE x
CREATE DICTIONARY d (a UInt8) PRIMARY KEY a SOURCE(HTTP(URL 'http://127.0.0.1:{port}/' FORMAT 'CSV')) LAYOUT(FLAT()) LIFETIME(0)
CREATE NAMED COLLECTION c AS a = 'b'
DROP TABLE event_revisions
DROP VIEW events
TRUNCATE TABLE event_revisions
DETACH TABLE event_revisions
RENAME TABLE event_revisions TO x
ALTER TABLE event_revisions DELETE WHERE 1
DELETE FROM event_revisions WHERE 1
UPDATE event_revisions SET message = 'x' WHERE 1
OPTIMIZE TABLE event_revisions
KILL QUERY WHERE 1
KILL MUTATION WHERE 1
SYSTEM FLUSH LOGS
SYSTEM STOP MERGES
SYSTEM SHUTDOWN
BACKUP TABLE event_revisions TO File('{path}.bak')
RESTORE TABLE event_revisions FROM File('{path}.bak')
GRANT ALL ON *.* TO default
SET readonly = 0
SET max_execution_time = 0
SET ROLE ALL
USE system
EXECUTE AS default SELECT 1
BEGIN TRANSACTION
CHECK TABLE event_revisions
EXISTS TABLE system.one
WATCH events
ATTACH TABLE x FROM '{path}' (a Int8) ENGINE = Memory
MOVE USER x TO y
SELECT 1; DROP TABLE event_revisions
SELECT 1;SELECT 2
; DROP TABLE event_revisions
SELECT 1 /* */; /* */ DROP TABLE event_revisions
SELECT 1 SETTINGS readonly = 0
SELECT 1 SETTINGS max_execution_time = 0
SELECT 1 SETTINGS additional_table_filters = {{}}
SELECT * FROM (SELECT 1 SETTINGS max_memory_usage = 0)
SELECT 1 FORMAT TSV SETTINGS readonly = 0
SELECT 1 FORMAT Nonsense
SELECT
-- SELECT 1
#!SELECT 1
""".replace("SELECT file--\n", "SELECT file--⏎").strip().split("\n")  # fmt: skip
ATTACKS = [attack.replace("⏎", "\n") for attack in ATTACKS]


def written(attack, secret, port):
    return attack.format(path=secret, port=port, name=NAME)


@pytest.mark.parametrize("attack", ATTACKS)
async def test_nothing_leads_out_of_our_tables(desk, clickhouse, secret, canary, attack):
    """At the gate: refused, or refused by the engine; nothing read, nothing written, nobody called."""
    port, calls = canary
    with pytest.raises(BadSettings) as caught:
        await answer(desk, written(attack, secret, port))
    assert SECRET not in str(caught.value)
    assert secret.read_text() == SECRET
    assert [path.name for path in secret.parent.iterdir()] == [secret.name]
    assert calls == []
    assert await answer(desk, "SELECT count() FROM event_revisions") == b"3\n"


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_restricted_user_is_kept_to_the_tables_by_the_endpoint_itself(clickhouse, secret, canary, attack):
    port, calls = canary
    status, said = ask(clickhouse, written(attack, secret, port), {"user": read_only.QUERY_USER, "database": NAME})
    assert status >= 400, said
    assert SECRET not in said
    assert [path.name for path in secret.parent.iterdir()] == [secret.name]
    assert calls == []


def ask(clickhouse, statement, url, headers=None):
    with contextlib.closing(http.client.HTTPConnection(clickhouse.host, clickhouse.port, timeout=30)) as connection:
        connection.request("POST", f"/?{urllib.parse.urlencode(url)}", statement.encode(), headers or {})
        response = connection.getresponse()
        return response.status, response.read().decode(errors="replace")


def test_the_restricted_user_cannot_talk_itself_free(clickhouse, secret):
    """Settings in the URL, headers, sessions and forms."""
    me = {"user": read_only.QUERY_USER, "database": NAME}
    file = f"SELECT file('{secret}')"
    assert ask(clickhouse, "SELECT 1", me) == (200, "1\n")
    for more in ({"readonly": "0"}, {"readonly": "2"}, {"allow_introspection_functions": "1"}, {"session_id": "s"}):
        status, said = ask(clickhouse, file, me | more)
        assert (status >= 400, SECRET in said) == (True, False)
    status, _ = ask(clickhouse, "INSERT INTO event_revisions (event_id) VALUES ('x')", me | {"readonly": "0"})
    assert status >= 400
    status, _ = ask(clickhouse, file, {"database": NAME}, {"X-ClickHouse-User": read_only.QUERY_USER})
    assert status >= 400
    boundary = "x"
    form = f'--{boundary}\r\nContent-Disposition: form-data; name="readonly"\r\n\r\n0\r\n--{boundary}\r\nContent-Disposition: form-data; name="query"\r\n\r\n{file}\r\n--{boundary}--\r\n'
    status, said = ask(clickhouse, form, me, {"Content-Type": f"multipart/form-data; boundary={boundary}"})
    assert (status >= 400, SECRET in said) == (True, False)


def test_a_name_that_somebody_points_at_us_is_refused(clickhouse):
    """DNS rebinding: a page of evil.example whose name leads to the loopback asks with its own name."""
    for host in ("evil.example", "evil.example:8123", "127.0.0.1.evil.example", f"localhost.evil.example:{clickhouse.port}"):
        status, said = ask(clickhouse, "SELECT 1", {}, {"Host": host})
        assert status == 403, said
    for host in (f"127.0.0.1:{clickhouse.port}", f"localhost:{clickhouse.port}", "[::1]:8123"):
        assert ask(clickhouse, "SELECT 1", {}, {"Host": host}) == (200, "1\n")
    assert ask(clickhouse, "SELECT 1", {}, {"Origin": "http://evil.example"})[0] == 403


async def test_a_question_that_needs_too_much_is_ended(desk):
    with pytest.raises(BadSettings, match=r"rows|bytes|TOO_MANY"):
        await answer(desk, "SELECT number FROM numbers(1000000)")
    with pytest.raises(BadSettings, match=r"(?i)memory"):
        await answer(desk, "SELECT length(groupArray(number)) FROM numbers(1000000000)")


def test_the_command_line_asks_the_engine_too_but_leaves_files_alone(clickhouse, secret, desk):
    warehouse = Warehouse(Settings(clickhouse=ClickHouseSettings(url=clickhouse.url, database=NAME)))
    assert checked(warehouse, NAME, "SELECT 1 FROM system.parts FORMAT CSV").output_format == "CSV"
    for attack in (
        f"SELECT file('{secret}')",
        f"SELECT * FROM file('{secret}')",
        "SELECT * FROM merge('system', '')",
        "KILL QUERY WHERE 1",
    ):
        with pytest.raises(BadSettings):
            checked(warehouse, NAME, attack)


def test_no_column_of_ours_has_the_name_of_a_function_that_is_refused(clickhouse, desk):
    warehouse = Warehouse(Settings(clickhouse=ClickHouseSettings(url=clickhouse.url, database=NAME)))
    catalogue = read_only.Catalogue.of(warehouse.rows(read_only.CATALOGUE), [], NAME)
    columns: list[Column] = [column for found in (*TABLES, *VIEWS) for column in found.columns]
    assert {column.name for column in columns} & catalogue.refused == set()
    assert {"file", "sleep", "hascolumnintable", "dictget", "aigenerate"} <= catalogue.refused


@pytest.mark.parametrize("path", sorted(Path("sinks/queries").glob("*.sql")), ids=lambda path: path.stem)
async def test_every_recipe_is_a_question(desk, path):
    text = path.read_text()
    values = {name: "x" for name in ("click_id", "status", "type", "event_type", "campaign", "traffic_source") if f"{{{name}:" in text}
    await answer(desk, text, values)
