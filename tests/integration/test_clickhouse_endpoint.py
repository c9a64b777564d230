"""The embedded endpoint under the clients that people use, unchanged, and under what ends processes."""

import asyncio
import concurrent.futures
import gzip
import importlib.util
import io
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import zlib
from pathlib import Path
from urllib.parse import urlencode

import aiohttp
import clickhouse_connect
import cramjam
import lz4.frame
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from backports import zstd
from clickhouse_connect.driver.exceptions import DatabaseError, StreamFailureError
from clickhouse_connect.driver.external import ExternalData

from deploy.local.ports import PortTakenError, free_port
from sinks.embedded import ClickHouse, ClickHouseError, statement
from sinks.embedded.body import MEMORY_BYTES

ENDLESS = "SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 7"


@pytest.fixture(scope="module")
def client(clickhouse):
    with clickhouse_connect.get_client(host=clickhouse.host, port=clickhouse.port) as client:
        yield client


@pytest.fixture
def table(client, request):
    """An empty MergeTree table named after the test."""
    name = re.sub(r"\W", "_", request.node.name)
    client.command(
        f"CREATE OR REPLACE TABLE {name} (id UInt64, name String, amount Nullable(Decimal(18, 4))) ENGINE = MergeTree ORDER BY id"
    )
    return name


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body
        self.text = body.decode(errors="replace")


def ask(endpoint, body=None, method="POST", headers=None, path="/", **url):
    """A request as curl sends it: nothing is decoded, and an error is an answer."""
    data = body.encode() if isinstance(body, str) else body
    request = urllib.request.Request(f"{endpoint.url}{path}?{urlencode(url)}", data, headers or {}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=120) as response:
            return Answer(response.status, response.headers, response.read())
    except urllib.error.HTTPError as error:
        return Answer(error.code, error.headers, error.read())


def wait_until(holds, timeout_s=60):
    ends_at = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < ends_at
        time.sleep(0.05)


# clickhouse-connect


def test_sync_client_reads_and_writes(client, table):
    assert client.command("SELECT 1") == 1
    assert client.insert(table, [[1, "it's", None], [2, "two\n", 3]], column_names=["id", "name", "amount"]).written_rows == 2
    assert client.query(f"SELECT id, name, amount FROM {table} ORDER BY id").result_rows == [(1, "it's", None), (2, "two\n", 3)]
    assert client.query(f"SELECT * FROM {table} LIMIT 0").column_names == ("id", "name", "amount")
    assert client.query(f"SELECT * FROM {table} WHERE id > 99").result_rows == []
    frame = client.query_df(f"SELECT id, name FROM {table} ORDER BY id")
    assert list(frame["id"]) == [1, 2]
    assert client.query_arrow(f"SELECT id FROM {table}").num_rows == 2
    assert client.query(f"SELECT count() FROM {table}").summary["read_rows"]
    assert client.ping()


async def test_async_client_reads_and_writes(clickhouse, table):
    async with await clickhouse_connect.get_async_client(host=clickhouse.host, port=clickhouse.port) as client:
        await client.insert(table, [[number, str(number), None] for number in range(1000)], column_names=["id", "name", "amount"])
        assert await client.command(f"SELECT count() FROM {table}") == 1000
        answers = await asyncio.gather(*[client.query(f"SELECT {number}") for number in range(20)])
        assert [answer.result_rows[0][0] for answer in answers] == list(range(20))
        total = 0
        async with await client.query_row_block_stream("SELECT number FROM numbers(200000)") as stream:
            async for block in stream:
                total += len(block)
        assert total == 200_000
        with pytest.raises(DatabaseError) as caught:
            await client.query("SELECT * FROM nowhere")
        assert caught.value.code == 60


def test_parameters_are_bound_by_the_server(client):
    hostile = "a'b\\ \t\n{x} -- ; ü"
    parameters = {"text": hostile, "numbers": [1, 2], "nothing": None, "t": "numbers"}
    query = "SELECT {text:String}, {numbers:Array(UInt8)}, {nothing:Nullable(String)} FROM system.one"
    assert client.query(query, parameters=parameters).result_rows == [(hostile, [1, 2], None)]
    with pytest.raises(DatabaseError) as caught:
        client.query("SELECT {missing:String}")
    assert caught.value.code == 456
    client.command("CREATE OR REPLACE TABLE bound (text String) ENGINE = MergeTree ORDER BY text")
    client.command("INSERT INTO {t:Identifier} VALUES ({text:String})", parameters={"t": "bound", "text": hostile})
    assert client.command("SELECT count() FROM bound WHERE text = {text:String}", parameters={"text": hostile}) == 1


@pytest.mark.parametrize("compression", [None, "gzip", "zstd", "lz4", "br", "deflate"])
def test_raw_inserts(client, table, compression):
    line = b'{"id": 1, "name": "n", "amount": "1.5"}\n' * 1000
    pack = {
        None: lambda data: data,
        "gzip": gzip.compress,
        "zstd": zstd.compress,
        "lz4": lz4.frame.compress,
        "br": lambda data: bytes(cramjam.brotli.compress(data)),
        "deflate": zlib.compress,
    }[compression]
    assert client.raw_insert(table, insert_block=pack(line), fmt="JSONEachRow", compression=compression).written_rows == 1000
    assert client.raw_insert(table, ["id", "name"], insert_block=pack(b"5,csv\n"), fmt="CSV", compression=compression).written_rows == 1
    assert client.query(f"SELECT count(), sum(amount) FROM {table}").result_rows == [(1001, 1500)]


def test_columnar_inserts(client, table):
    columns = pa.table({"id": pa.array(range(5000), pa.uint64()), "name": [f"n{number}" for number in range(5000)]})
    client.insert_arrow(table, columns)
    client.insert_df(table, pd.DataFrame({"id": [1, 2], "name": ["x", "y"]}))
    parquet = io.BytesIO()
    pyarrow.parquet.write_table(columns, parquet)
    client.raw_insert(table, insert_block=parquet.getvalue(), fmt="Parquet")
    client.raw_insert(table, ["id", "name"], insert_block=iter([b"7,a\n", b"8,b\n"]), fmt="CSV")
    assert client.command(f"SELECT count() FROM {table}") == 10_004


def test_streams(client):
    with client.query_row_block_stream("SELECT number, toString(number) FROM numbers(500000)") as stream:
        assert sum(len(block) for block in stream) == 500_000
    with client.raw_stream("SELECT number FROM numbers(500000)", fmt="JSONEachRow") as stream:
        assert sum(chunk.count(b"\n") for chunk in iter(lambda: stream.read(65536), b"")) == 500_000
    with client.query_df_stream("SELECT number FROM numbers(200000)") as stream:
        assert sum(len(frame) for frame in stream) == 200_000
    failing = "SELECT throwIf(number = 3000000), randomPrintableASCII(9) FROM numbers(4000000) SETTINGS max_threads = 1"
    with pytest.raises(StreamFailureError, match="FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"), client.query_row_block_stream(failing) as stream:
        for _ in stream:
            pass


def test_external_data_becomes_a_temporary_table(client):
    data = ExternalData(file_name="people.csv", data=b"1,ann\n2,bob\n", fmt="CSV", structure=["id UInt32", "name String"])
    assert client.query("SELECT name FROM people ORDER BY id", external_data=data).result_rows == [("ann",), ("bob",)]
    assert client.query("SELECT count() FROM people WHERE id > {n:UInt8}", parameters={"n": 1}, external_data=data).result_rows == [(1,)]


def test_sessions_keep_what_they_set_and_nothing_else(clickhouse):
    def in_session(body, **url):
        return ask(clickhouse, body, session_id="s1", **url)

    assert ask(clickhouse, "SELECT 1", session_id="s1", session_check=1).status == 500  # SESSION_NOT_FOUND
    in_session("SET max_block_size = 77")
    in_session("CREATE TEMPORARY TABLE mine (a UInt8)")
    in_session("INSERT INTO mine VALUES (4)")
    assert in_session("SELECT a, getSetting('max_block_size'), getSetting('max_threads') FROM mine", max_threads=1).text == "4\t77\t1\n"
    assert in_session("SELECT throwIf(number = 2000) FROM numbers(3000)", max_threads=1, max_block_size=9).status == 500
    assert in_session("SELECT getSetting('max_block_size') FROM mine").text == "77\n"
    assert in_session("SELECT getSetting('max_threads') = 1").text == "0\n"
    assert ask(clickhouse, "SELECT * FROM mine").status == 404
    assert ask(clickhouse, "SELECT * FROM mine", session_id="s2").status == 404
    assert (
        ask(clickhouse, None, "GET", query="INSERT INTO mine VALUES (5)", session_id="s1").headers["X-ClickHouse-Exception-Code"] == "164"
    )
    in_session("USE system")
    assert in_session("SELECT count() FROM one").text == "1\n"
    assert in_session("SELECT currentDatabase()", close_session=1).text == "system\n"
    assert in_session("SELECT currentDatabase()").text == "default\n"


def test_a_session_runs_one_query_at_a_time(clickhouse):
    with concurrent.futures.ThreadPoolExecutor() as threads:
        first = threads.submit(ask, clickhouse, "SELECT sleep(1)", session_id="busy")
        time.sleep(0.4)
        assert "SESSION_IS_LOCKED" in ask(clickhouse, "SELECT 1", session_id="busy").text
        assert first.result().status == 200


# curl, Grafana, JDBC


def test_get_reads_and_never_writes(clickhouse, table):
    assert ask(clickhouse, None, "GET", query="SELECT 1").text == "1\n"
    assert ask(clickhouse, None, "GET").text == "Ok.\n"
    assert ask(clickhouse, None, "HEAD").status == 200
    assert ask(clickhouse, None, "GET", path="/ping").text == "Ok.\n"
    assert ask(clickhouse, None, "GET", path="/replicas_status").text == "Ok.\n"
    for change in (f"INSERT INTO {table} VALUES (1, 'a', 1)", f"DROP TABLE {table}", f"INSERT INTO {table} SELECT 1, 'a', 1"):
        for more in ({}, {"readonly": 2}, {"readonly": 0}):
            answer = ask(clickhouse, None, "GET", query=change, **more)
            assert (answer.status, answer.headers["X-ClickHouse-Exception-Code"]) == (500, "164")
    assert (
        ask(clickhouse, "SELECT * FROM url('http://127.0.0.1:1/x', 'CSV', 'a Int8')", readonly=1).headers["X-ClickHouse-Exception-Code"]
        == "164"
    )
    assert ask(clickhouse, f"SELECT count() FROM {table}").text == "0\n"


def test_inserts_as_curl_sends_them(clickhouse, table):
    ask(clickhouse, "1,one,1\n2,two,2\n", query=f"INSERT INTO {table} FORMAT CSV")
    ask(clickhouse, f"INSERT INTO {table} (id, name) -- ( a comment FORMAT CSV\n SETTINGS max_threads = 1 FORMAT CSV\n3,three\n")
    ask(clickhouse, f"INSERT INTO {table} VALUES (4, 'semi;colon', 1), (2 + 3, concat('a', 'b'), NULL);")
    ask(clickhouse, "(6, 'six', 6)", query=f"INSERT INTO {table} VALUES")
    ask(clickhouse, f"INSERT INTO {table} SELECT number + 7, 'more', 1 FROM numbers(3)")
    ask(clickhouse, "10\televen\n", query=f"INSERT INTO {table} SELECT a, b, 1 FROM input('a UInt64, b String') FORMAT TabSeparated")
    answer = ask(clickhouse, f"/* why */ insert into {table} (id, name) format JSONEachRow\r\n".encode() + b'{"id": 11, "name": "FORMAT"}')
    assert json.loads(answer.headers["X-ClickHouse-Summary"])["written_rows"] == "1"
    assert (
        ask(clickhouse, f"SELECT groupArray(id), count() FROM (SELECT id FROM {table} ORDER BY id)").text
        == "[1,2,3,4,5,6,7,8,9,10,11]\t11\n"
    )
    ask(
        clickhouse,
        f"INSERT INTO {table} (id, name) FORMAT RowBinary\n".encode()
        + b"".join((1000 + byte).to_bytes(8, "little") + b"\x04" + bytes([byte, 59, 10, 39]) for byte in range(256)),
    )
    assert ask(clickhouse, f"SELECT count(), uniqExact(name) FROM {table} WHERE id >= 1000").text == "256\t256\n"


@pytest.mark.parametrize(
    "name", ["Native", "RowBinaryWithNamesAndTypes", "Arrow", "ArrowStream", "Parquet", "ORC", "Avro", "MsgPack", "JSON", "JSONCompact",
             "JSONColumns", "JSONCompactEachRowWithNamesAndTypes", "CSVWithNames", "TSKV", "TabSeparatedWithNamesAndTypes", "Values", "BSONEachRow"]
)  # fmt: skip
def test_what_a_format_wrote_it_can_insert(clickhouse, table, name):
    """Every format comes out whole (one header, one footer) and goes in again, in front of the data and in the URL."""
    data = ask(clickhouse, f"SELECT number AS id, toString(sipHash64(number)) AS name FROM numbers(150000) FORMAT {name}")
    assert data.headers["X-ClickHouse-Format"] == name
    assert ask(clickhouse, f"INSERT INTO {table} (id, name) FORMAT {name}\n".encode() + data.body).text == ""
    assert ask(clickhouse, data.body, query=f"INSERT INTO {table} (id, name) FORMAT {name}").text == ""
    assert (
        ask(clickhouse, f"SELECT count(), uniqExact(id), sum(name = toString(sipHash64(id))) FROM {table}").text
        == "300000\t150000\t300000\n"
    )


def test_grafana_gets_json(clickhouse):
    for answer in (ask(clickhouse, "SELECT 1 AS one", default_format="JSON"), ask(clickhouse, "SELECT 1 AS one FORMAT JSON;")):
        found = json.loads(answer.body)
        assert found["meta"] == [{"name": "one", "type": "UInt8"}]
        assert (found["data"], found["rows"]) == ([{"one": 1}], 1)
        assert set(found["statistics"]) == {"elapsed", "rows_read", "bytes_read"}
        assert answer.headers["Content-Type"] == "application/json; charset=UTF-8"
        assert answer.headers["X-ClickHouse-Format"] == "JSON"
        assert answer.headers["X-ClickHouse-Timezone"]
        assert json.loads(answer.headers["X-ClickHouse-Summary"])["result_rows"] == "1"
    assert ask(clickhouse, "SELECT 1", query_id="mine").headers["X-ClickHouse-Query-Id"] == "mine"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ("SELECT * FROM nowhere", 404, 60),
        ("SELECT nothing", 404, 47),
        ("SELEC 1", 400, 62),
        ("", 400, 62),
        ("-- nothing", 400, 62),
        ("SELECT 1; SELECT 2", 400, 62),
        ("SELECT 1 FORMAT Nonsense", 404, 73),
        ("SELECT toUInt8('x')", 400, 6),
        ("SELECT throwIf(1)", 500, 395),
        ("INSERT INTO nowhere VALUES (1)", 404, 60),
        ("INSERT INTO nowhere FORMAT Nonsense\n1", 404, None),
        ("SELECT 1 INTO OUTFILE '/tmp/never'", 500, 358),
        ("INSERT INTO nowhere FROM INFILE '/etc/passwd' FORMAT CSV", 404, 78),
        ("USE nowhere", 404, 81),
    ],
)
def test_errors_keep_their_code(clickhouse, body, status, code):
    answer = ask(clickhouse, body)
    assert answer.status == status
    assert code is None or answer.headers["X-ClickHouse-Exception-Code"] == str(code)
    assert re.fullmatch(
        r"Code: \d+\. DB::Exception: .+ \([A-Z_]+\) \(version \d+\.\d+\.[\d.]+ \(official build\)\)\n", answer.text, re.DOTALL
    )
    assert answer.text.count("Code: ") == 1


def test_a_bad_row_names_itself_and_inserts_nothing(clickhouse, table):
    rows = b"1,a,1\n" * 1000 + b"2,b,nonsense\n" + b"3,c,1\n" * 1000
    answer = ask(clickhouse, rows, query=f"INSERT INTO {table} FORMAT CSV")
    assert answer.status == 400
    assert "row 1001" in answer.text
    assert ask(clickhouse, f"SELECT count() FROM {table}").text == "0\n"


def test_settings_last_for_one_query(clickhouse):
    assert ask(clickhouse, "SELECT getSetting('max_block_size')", max_block_size=5).text == "5\n"
    assert ask(clickhouse, "SELECT getSetting('max_block_size') SETTINGS max_block_size = 6 FORMAT CSV").text == "6\n"
    assert ask(clickhouse, "SET max_block_size = 7").status == 200
    assert ask(clickhouse, "SELECT getSetting('max_block_size')").text not in {"5\n", "6\n", "7\n"}
    assert ask(clickhouse, "SELECT getSetting('async_insert')").text == "false\n"
    assert ask(clickhouse, "SELECT 1", no_such_setting=1).headers["X-ClickHouse-Exception-Code"] == "115"
    assert ask(clickhouse, "SELECT * FROM numbers(100)", max_result_rows=10).status == 500
    assert ask(clickhouse, "SELECT currentDatabase()", database="system").text == "system\n"
    assert ask(clickhouse, "SELECT currentDatabase()", headers={"X-ClickHouse-Database": "system"}).text == "system\n"
    assert ask(clickhouse, "SELECT 1", database="nowhere").status == 404


@pytest.mark.parametrize("encoding", ["gzip", "zstd", "lz4", "br", "deflate"])
def test_answers_are_compressed_when_asked(clickhouse, encoding):
    query = "SELECT number FROM numbers(300000)"
    plain = ask(clickhouse, query).body
    answer = ask(clickhouse, query, headers={"Accept-Encoding": encoding}, enable_http_compression=1)
    unpack = {
        "gzip": gzip.decompress,
        "zstd": zstd.decompress,
        "lz4": lz4.frame.decompress,
        "br": lambda data: bytes(cramjam.brotli.decompress(data)),
        "deflate": zlib.decompress,
    }[encoding]
    assert answer.headers["Content-Encoding"] == encoding
    assert unpack(answer.body) == plain
    assert ask(clickhouse, query, headers={"Accept-Encoding": encoding}).body == plain


def test_broken_bodies_are_refused(clickhouse):
    assert ask(clickhouse, "SELECT 1", headers={"Content-Encoding": "gzip"}).headers["X-ClickHouse-Exception-Code"] == "271"
    assert (
        ask(clickhouse, gzip.compress(b"SELECT 1")[:-3], headers={"Content-Encoding": "gzip"}).headers["X-ClickHouse-Exception-Code"]
        == "271"
    )
    assert ask(clickhouse, "SELECT 1", headers={"Content-Encoding": "magic"}).headers["X-ClickHouse-Exception-Code"] == "89"
    assert ask(clickhouse, gzip.compress(b"SELECT ") + gzip.compress(b"7"), headers={"Content-Encoding": "gzip"}).text == "7\n"


def test_clickhouse_s_own_blocks(clickhouse):
    """`compress=1` and `decompress=1`, as JDBC sends them, with clickhouse-driver as the witness; without the hash's package a clear refusal."""
    answer = ask(clickhouse, "SELECT number FROM numbers(300000)", compress=1)
    if not importlib.util.find_spec("clickhouse_cityhash"):
        assert (answer.status, "clickhouse-cityhash" in answer.text) == (501, True)
        return
    from clickhouse_cityhash.cityhash import CityHash128
    from clickhouse_driver.compression.lz4 import Compressor, Decompressor

    plain, stream = b"", io.BytesIO(answer.body)
    while checksum := stream.read(16):
        upper, lower = struct.unpack("<QQ", checksum)
        method = stream.read(1)
        assert method == b"\x82"
        plain += Decompressor(stream).get_decompressed_data(method[0], upper << 64 | lower, 1)
    assert plain == ask(clickhouse, "SELECT number FROM numbers(300000)").body
    packer = Compressor()
    packer.write(b"SELECT 42")
    block = b"\x82" + packer.get_compressed_data(1)
    checksum = struct.pack("<QQ", CityHash128(block) >> 64, CityHash128(block) & (1 << 64) - 1)
    assert ask(clickhouse, checksum + block, decompress=1).text == "42\n"
    assert ask(clickhouse, b"x" * 16 + block, decompress=1).headers["X-ClickHouse-Exception-Code"] == "40"
    assert ask(clickhouse, (checksum + block)[:-1], decompress=1).headers["X-ClickHouse-Exception-Code"] == "271"


def test_a_foreign_web_page_is_refused(clickhouse):
    assert ask(clickhouse, "SELECT 1", headers={"Origin": "http://evil.example"}).status == 403
    assert ask(clickhouse, "SELECT 1", headers={"Origin": clickhouse.url}).status == 200


# Side by side, and ends


def test_queries_and_inserts_run_side_by_side(clickhouse, table):
    def work(number):
        if number % 3 == 0:
            rows = "".join(f"{number * 1000 + row},n,1\n" for row in range(1000))
            return ask(clickhouse, rows, query=f"INSERT INTO {table} FORMAT CSV").status
        return ask(clickhouse, f"SELECT count(), sum(id) FROM {table}", max_threads=1 + number % 2).status

    with concurrent.futures.ThreadPoolExecutor(24) as threads:
        slow = threads.submit(ask, clickhouse, "SELECT sleepEachRow(0.5) FROM numbers(6) SETTINGS max_block_size = 1")
        assert set(threads.map(work, range(300))) == {200}
        waits = []
        while not slow.done():
            began = time.monotonic()
            assert ask(clickhouse, None, "GET", path="/ping").text == "Ok.\n"
            waits.append(time.monotonic() - began)
        assert slow.result().status == 200
    assert not waits or max(waits) < 1
    assert ask(clickhouse, f"SELECT count(), uniqExact(id) FROM {table}").text == "100000\t100000\n"


def running(endpoint, query_id):
    return ask(endpoint, f"SELECT count() FROM system.processes WHERE Settings['log_comment'] = '{query_id}'").text == "1\n"


async def test_a_query_ends_with_its_client(clickhouse):
    async with aiohttp.ClientSession() as session:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(session.post(clickhouse.url, data=ENDLESS, params={"query_id": "left alone"}), 0.7)
    await asyncio.to_thread(wait_until, lambda: not running(clickhouse, "left alone"))


def test_a_query_ends_by_time_or_by_kill(clickhouse):
    answer = ask(clickhouse, ENDLESS, max_execution_time=1)
    assert (answer.status, answer.headers["X-ClickHouse-Exception-Code"]) == (408, "159")
    with concurrent.futures.ThreadPoolExecutor() as threads:
        victim = threads.submit(ask, clickhouse, ENDLESS, query_id="victim")
        wait_until(lambda: running(clickhouse, "victim"))
        assert ask(clickhouse, "SELECT 1", query_id="victim").headers["X-ClickHouse-Exception-Code"] == "216"
        assert ask(clickhouse, "KILL QUERY WHERE query_id = 'victim' SYNC").status == 200
        assert victim.result().headers["X-ClickHouse-Exception-Code"] == "394"


def test_an_insert_that_a_kill_met_is_not_acknowledged(clickhouse, table):
    """ChDB ends it without an error, and its rows are gone: whoever was told "done" would have lost them."""
    is_over = threading.Event()

    def kill():
        while not is_over.is_set():
            assert ask(clickhouse, f"KILL QUERY WHERE query LIKE '%{table}%' ASYNC").status == 200

    def insert(number):
        answer = ask(clickhouse, f"INSERT INTO {table} FORMAT CSV {number},killed,1\n")
        assert answer.status == 200 or answer.headers["X-ClickHouse-Exception-Code"] in {"394", "319"}
        return answer.status == 200

    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        killer = threads.submit(kill)
        try:
            acknowledged = {number for number, is_done in enumerate(threads.map(insert, range(300))) if is_done}
        finally:
            is_over.set()
        killer.result()
        acknowledged |= {number for number in range(1000, 1010) if insert(number)}
    kept = {int(line) for line in ask(clickhouse, f"SELECT id FROM {table}").text.split()}
    assert acknowledged <= kept
    assert set(range(1000, 1010)) <= acknowledged


@pytest.mark.parametrize("fault", ["no space", "a view that throws"])
def test_an_insert_whose_part_cannot_be_written_is_not_acknowledged(clickhouse, table, fault):
    """Seen on a full disk: 200, `rows_written` 100, and none of them there; the sink committed its offsets and the rows were lost."""
    if fault == "no space":
        assert ask(clickhouse, f"ALTER TABLE {table} MODIFY SETTING min_free_disk_bytes_to_perform_insert = {10**18}").status == 200
    else:
        assert ask(clickhouse, f"CREATE TABLE {table}_copy (id UInt64) ENGINE = MergeTree ORDER BY id").status == 200
        view = f"CREATE MATERIALIZED VIEW {table}_view TO {table}_copy AS SELECT id + throwIf(id = 7) AS id FROM {table}"
        assert ask(clickhouse, view).status == 200
    answer = ask(clickhouse, b"7,lost,1\n", query=f"INSERT INTO {table} FORMAT CSV")
    there = ask(clickhouse, f"SELECT count() FROM {table}").text
    assert (answer.status, there) != (200, "0\n")
    assert answer.headers["X-ClickHouse-Exception-Code"] in {"243", "319", "395"}
    undo = f"ALTER TABLE {table} RESET SETTING min_free_disk_bytes_to_perform_insert" if fault == "no space" else f"DROP TABLE {table}_view"
    assert ask(clickhouse, undo).status == 200
    assert ask(clickhouse, b"8,kept,1\n", query=f"INSERT INTO {table} FORMAT CSV").status == 200
    assert ask(clickhouse, f"SELECT count() FROM {table} WHERE id = 8").text == "1\n"


def test_an_insert_that_takes_too_long_is_an_error(clickhouse, table):
    rows = b"".join(b"%d,late,1\n" % number for number in range(600_000))
    answer = ask(clickhouse, rows, query=f"INSERT INTO {table} FORMAT CSV", max_execution_time=0.001)
    assert (answer.status, answer.headers["X-ClickHouse-Exception-Code"]) == (408, "159")
    assert ask(clickhouse, f"SELECT count() FROM {table}").text == "0\n"
    answer = ask(clickhouse, b"1,late,1\n", query=f"INSERT INTO {table} SETTINGS max_execution_time = 1 FORMAT CSV")
    assert (answer.status, answer.headers["X-ClickHouse-Exception-Code"]) == (501, "48")
    assert ask(clickhouse, b"1,late,1\n", query=f"INSERT INTO {table} FORMAT CSV", max_execution_time=60).status == 200


def test_a_long_statement_does_not_hold_the_others(clickhouse):
    numbers = ", ".join(str(number) for number in range(300_000))
    with concurrent.futures.ThreadPoolExecutor() as threads:
        answer = threads.submit(ask, clickhouse, f"SELECT 7 IN ({numbers}) FORMAT CSV", max_query_size=10_000_000)
        waits = []
        while not answer.done():
            began = time.monotonic()
            ask(clickhouse, None, "GET", path="/ping")
            waits.append(time.monotonic() - began)
    assert answer.result().text == "1\n"
    assert max(waits) < 1


def test_a_large_insert_goes_through_the_disk(clickhouse, table):
    rows = b"".join(b"%d,%s,1\n" % (number, b"x" * 200) for number in range(150_000))
    packed = lz4.frame.compress(rows)
    assert len(rows) > MEMORY_BYTES
    answer = ask(clickhouse, packed, query=f"INSERT INTO {table} FORMAT CSV", headers={"Content-Encoding": "lz4"})
    assert json.loads(answer.headers["X-ClickHouse-Summary"])["written_rows"] == "150000"
    assert not list((clickhouse.data_dir / "spool").iterdir())


@pytest.mark.parametrize(
    ("text", "kind", "written_format", "data"),
    [
        (b'SELECT \'a\\\'b;\', "x""y", $h$ ; $h$ FORMAT CSV', "read", "CSV", b""),
        (b"SELECT format FROM t", "read", None, b""),
        (b"WITH 1 AS x SELECT x FORMAT JSON SETTINGS max_threads = 1;; -- done", "read", "JSON", b""),
        (b"(SELECT 1) UNION ALL (SELECT 2)", "read", None, b""),
        (b"SELECT 'unclosed", "read", None, b""),
        (b"CREATE TABLE format (a Int8)", "other", None, b""),
        (b"INSERT INTO t (format, values) VALUES (1, 2)", "insert", "Values", b" (1, 2)"),
        (b"insert into db.format values(1)", "insert", "Values", b"(1)"),
        (b"INSERT INTO values FORMAT \t CSV \r\n\n1;2", "insert", "CSV", b"\n1;2"),
        (b"INSERT INTO FUNCTION null('a Int8') FORMAT CSV\n1", "insert", "CSV", b"1"),
        (b"INSERT INTO {t:Identifier} SETTINGS max_threads = 1 FORMAT CSV\n';", "insert", "CSV", b"';"),
        (b"INSERT INTO t (a) (SELECT 1)", "other", None, b""),
        (b"INSERT INTO t WITH 1 AS x SELECT x;", "other", None, b""),
        (b"INSERT INTO t SELECT a FROM input('a Int8') FORMAT CSV\n1;'", "insert_input", "CSV", b"1;'"),
    ],
)
def test_a_statement_s_pieces(text, kind, written_format, data):
    parsed = statement.parse(text)
    assert (parsed.kind, parsed.format) == (kind, written_format)
    assert (text[parsed.data_start :] if parsed.data_start else b"") == data


# The process


def test_acknowledged_rows_survive_kill_and_stop(tmp_path):
    """Inserts go on until the endpoint is killed: every acknowledged one is there afterwards, and no leftover stands in the way."""
    endpoint = ClickHouse(tmp_path / "data", free_port())
    endpoint.start()
    ask(endpoint, "CREATE TABLE kept (id UInt64) ENGINE = MergeTree ORDER BY id")
    for killed in (True, True, False):
        acknowledged = []

        def insert(first, acknowledged=acknowledged):
            for number in range(first, first + 100_000):
                try:
                    if ask(endpoint, f"INSERT INTO kept VALUES ({number})").status != 200:
                        return
                except OSError:
                    return
                acknowledged.append(number)

        base = int(ask(endpoint, "SELECT max(id) + 1000000 FROM kept").text)
        writers = [threading.Thread(target=insert, args=(base + worker * 200_000,)) for worker in range(4)]
        for writer in writers:
            writer.start()
        wait_until(lambda acknowledged=acknowledged: len(acknowledged) > 100)
        endpoint.kill() if killed else endpoint.stop()
        for writer in writers:
            writer.join()
        assert (endpoint.exit_code == -signal.SIGKILL) if killed else (endpoint.exit_code == 0)
        endpoint.start()
        kept = {int(line) for line in ask(endpoint, "SELECT id FROM kept").text.splitlines()}
        assert set(acknowledged) <= kept
        assert ask(endpoint, "SELECT count() - uniqExact(id) FROM kept").text == "0\n"
    endpoint.stop()


def test_one_process_owns_a_folder(clickhouse):
    with pytest.raises(ClickHouseError, match=rf"used by pid {clickhouse.pid} .*--data-dir"):
        ClickHouse(clickhouse.data_dir, free_port()).start()
    with pytest.raises(PortTakenError, match=f"pid {clickhouse.pid}"):
        ClickHouse(clickhouse.data_dir, clickhouse.port).start()
    assert ask(clickhouse, "SELECT 1").text == "1\n"


def test_it_ends_with_its_parent(tmp_path):
    code = "import sys, time; from sinks.embedded import ClickHouse; c = ClickHouse(sys.argv[1], int(sys.argv[2])).start(); print(c.pid, flush=True); time.sleep(60)"
    parent = subprocess.Popen([sys.executable, "-c", code, str(tmp_path), str(free_port())], stdout=subprocess.PIPE, text=True)
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    wait_until(lambda: not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().split()[2])


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT])
def test_a_crash_of_the_engine_ends_the_process(tmp_path, number):
    endpoint = ClickHouse(tmp_path, free_port()).start()
    os.kill(endpoint.pid, number)
    wait_until(lambda: not endpoint.is_running)
    assert endpoint.exit_code == -number
    endpoint.start().stop()


def test_a_password_is_taken_in_every_way(tmp_path, monkeypatch):
    monkeypatch.setenv("CLICKHOUSE_PASSWORD", "s3cret")
    with ClickHouse(tmp_path, free_port()) as endpoint:
        assert ask(endpoint, "SELECT 1").status == 403
        assert ask(endpoint, "SELECT 1", password="wrong").headers["X-ClickHouse-Exception-Code"] == "516"
        assert ask(endpoint, "SELECT 1", user="default", password="s3cret").status == 200
        assert ask(endpoint, "SELECT 1", headers={"X-ClickHouse-User": "default", "X-ClickHouse-Key": "s3cret"}).status == 200
        client = clickhouse_connect.get_client(host=endpoint.host, port=endpoint.port, password="s3cret")
        assert client.command("SELECT 1") == 1
        assert ask(endpoint, None, "GET", path="/ping").status == 200


# The Node client


@pytest.fixture(scope="session")
def node_project(pytestconfig):
    """The locked client in a cache folder, installed once per lock."""
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("NOT TESTED: the official Node client, because node and npm are not installed on this machine")
    source = Path(__file__).with_name("node_client")
    project = Path(pytestconfig.cache.mkdir("clickhouse_node_client"))
    lock = (source / "package-lock.json").read_bytes()
    is_installed = (project / "installed-lock.json").exists() and (project / "installed-lock.json").read_bytes() == lock
    for name in ("package.json", "package-lock.json", "check.mjs"):
        shutil.copy(source / name, project / name)
    if not is_installed:
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=project, check=True, capture_output=True)
        (project / "installed-lock.json").write_bytes(lock)
    return project


def test_the_node_client(clickhouse, node_project):
    run = subprocess.run(["node", "check.mjs", clickhouse.url], check=False, cwd=node_project, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout.splitlines()[-1]) == {
        "ping": True,
        "inserted": True,
        "written_rows": "2",
        "count": 5001,
        "names": ["it's", "two\nlines"],
        "json": {
            "meta": [{"name": "id", "type": "UInt64"}, {"name": "name", "type": "String"}],
            "data": [{"id": 1, "name": "it's"}],
            "rows": 1,
            "has_statistics": True,
        },
        "streamed": 200_000,
        "exec": '"one"\n1\n',
        "setting": 1,
        "error": {"code": "60", "type": "UNKNOWN_TABLE"},
        "aborted": "The user aborted a request.",
    }
