"""The tables of a cluster. What is tried: every statement with ON CLUSTER and Replicated engines is parsed by the engine; the front of
Distributed tables runs over a cluster of one shard (chDB has no Keeper, so it can run neither ON CLUSTER nor a Replicated engine).
"""

import subprocess
import sys

import pytest

from sinks import ddl
from sinks.cluster import front, shard_database
from sinks.feeds import FEEDS
from sinks.migrations import variables, views
from sinks.tables import TABLES
from sinks.views import VIEWS
from streams.stage import Record
from tests.integration.sink_rig import row, visit

CLUSTER, DATABASE = "clicktrail", "clicktrail"
CONFIGURATION = f"""<clickhouse><tcp_port>9000</tcp_port><remote_servers><{CLUSTER}><shard><internal_replication>true</internal_replication>
<replica><host>127.0.0.1</host><port>9000</port></replica></shard></{CLUSTER}></remote_servers></clickhouse>"""


def migrations(values):
    from clickhouse_migrations.substitution import substitute

    paths = sorted(path for path in ddl.files() if path.parent == ddl.FOLDER)
    return [substitute(path.read_text(), values, path.name).rstrip().rstrip(";") for path in paths]


def test_every_statement_of_a_cluster_is_parsed(clickhouse):
    import clickhouse_connect

    values = variables(CLUSTER)
    statements = migrations(values) + views(values) + front(DATABASE, CLUSTER, values["ON_CLUSTER"])
    statements += [
        f"ALTER TABLE {table.name} {values['ON_CLUSTER']} MODIFY TTL toDateTime({table.expires}) + INTERVAL 9 DAY"
        for table in TABLES
        if table.expires
    ]
    client = clickhouse_connect.get_client(dsn=clickhouse.url, autogenerate_session_id=False)
    for statement in statements:
        ((parsed,),) = client.query("SELECT formatQuerySingleLine({sql:String})", {"sql": strip(statement)}).result_rows
        assert f"ON CLUSTER {CLUSTER}" in parsed.replace("`", "")
        assert f"ON CLUSTER `{CLUSTER}`" in statement
        assert "ReplacingMergeTree" not in statement or "ReplicatedReplacingMergeTree" in statement
    client.close()


def strip(statement):
    return "\n".join(line for line in statement.splitlines() if not line.startswith("--"))


def test_every_table_says_where_its_rows_lie():
    columns = {table.name: {column.name for column in table.columns} for table in TABLES}
    for table in TABLES:
        assert {name.strip() for name in table.shard_by.split(",")} <= columns[table.name], table.name


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """What an engine with a cluster of one shard answers, in a process of its own: its configuration is the process's."""
    folder = tmp_path_factory.mktemp("cluster")
    (folder / "config.xml").write_text(CONFIGURATION)
    done = subprocess.run(
        [sys.executable, "-m", "tests.integration.test_cluster", str(folder)], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return dict(line.split("\t", 1) for line in done.stdout.splitlines())


def test_the_front_takes_the_sinks_inserts_and_shows_what_a_single_server_shows(answers):
    """EPHEMERAL fields pass through a Distributed table; the views say the same in front and on the shard."""
    assert answers["behind event_revisions"] == "3"
    assert answers["events"] == "[('e1-0-1','ok',1),('e1-0-2','ok',2)]"
    assert answers["visits"] == "1"
    assert {answers[f"view {view.name}"] for view in VIEWS} == {"same"}


def main(folder):
    from chdb import session

    engine = session.Session(f"{folder}/data?config-file={folder}/config.xml")

    def ask(sql):
        return engine.query(sql, "TSV").data().strip()

    single = variables("")
    behind = shard_database(DATABASE)
    ask(f"CREATE DATABASE {behind}")
    ask(f"USE {behind}")
    for statement in migrations(single) + views(single):
        ask(strip(statement))
    for statement in front(DATABASE, CLUSTER, ""):
        ask(statement)
    ask(f"USE {DATABASE}")
    from sinks.cluster import ACROSS

    for statement in views(single, {view.name for view in ACROSS}):
        ask(strip(statement))
    insert(ask, FEEDS[0], [row(1), row(2, status="error"), row(2, revision=2)])
    insert(ask, FEEDS[1], [visit(1)])
    print(f"behind event_revisions\t{ask(f'SELECT count() FROM {behind}.event_revisions')}")
    print(f"events\t{ask('SELECT arraySort(groupArray((event_id, status, revision))) FROM events')}")
    print(f"visits\t{ask('SELECT count() FROM visits')}")
    for view in VIEWS:
        both = [ask(f"SELECT count(), groupBitXor(cityHash64(*)) FROM {name}.{view.name}") for name in (DATABASE, behind)]
        print(f"view {view.name}\t{'same' if both[0] == both[1] else both}")


def insert(ask, feed, values):
    from sinks.store import INSERT_SETTINGS

    lines = feed.lines([Record(feed.topic, 0, n, 1_790_000_100_000 + n, None, value) for n, value in enumerate(values)]).decode()
    settings = ", ".join(f"{name} = {value}" for name, value in INSERT_SETTINGS.items())
    ask(f"INSERT INTO {feed.table.name} ({', '.join(feed.table.insert_columns())}) SETTINGS {settings} FORMAT JSONEachRow {lines}")


if __name__ == "__main__":
    main(sys.argv[1])
