"""Every client of ours against a cluster that checks who is calling: Kafka with TLS and SASL or client certificates, ClickHouse by https."""

import asyncio
import base64

import pytest
from confluent_kafka.admin import AdminClient, ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion

from deploy.local.kafka import Kafka
from deploy.local.ports import free_port
from streams.runtime.role_ports import ROLES
from tests.integration.roles_rig import Roles
from tests.integration.secured import PASSWORD, USER, Authority, broker_settings, tls_door

DATABASE = "secured"


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
async def ports(authority, tmp_path_factory):
    """A broker with a listener per protocol; the user may come by PLAIN and by SCRAM."""
    found = {name: free_port() for name in ("SASL_SSL", "SSL", "PLAINTEXT", "CONTROLLER")}
    broker = Kafka(
        tmp_path_factory.mktemp("kafka"),
        found["SASL_SSL"],
        found["CONTROLLER"],
        settings=broker_settings(authority, found),
    )
    await asyncio.to_thread(broker.start)
    scram = UserScramCredentialUpsertion(USER, ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096), PASSWORD.encode())
    admin = AdminClient({"bootstrap.servers": f"127.0.0.1:{found['PLAINTEXT']}"})
    await asyncio.to_thread(lambda: [each.result() for each in admin.alter_user_scram_credentials([scram]).values()])
    yield found
    await asyncio.to_thread(broker.kill)


def kafka_environment(protocol, mechanism, authority, ports, folder):
    environment = {
        "CLICKTRAIL_KAFKA__BOOTSTRAP_SERVERS": f"127.0.0.1:{ports[protocol]}",
        "CLICKTRAIL_KAFKA__SECURITY_PROTOCOL": protocol,
        "CLICKTRAIL_KAFKA__SSL_CAFILE": str(authority.ca),
        "CLICKTRAIL_PARTITIONS": "2",
    }
    if protocol == "SSL":
        cert, key, _ = authority.issue("client")
        return environment | {"CLICKTRAIL_KAFKA__SSL_CERTFILE": str(cert), "CLICKTRAIL_KAFKA__SSL_KEYFILE": str(key)}
    secret = folder / "password"
    secret.write_text(f"{PASSWORD}\n")
    return environment | {
        "CLICKTRAIL_KAFKA__SASL_MECHANISM": mechanism,
        "CLICKTRAIL_KAFKA__SASL_USERNAME": USER,
        "CLICKTRAIL_KAFKA__SASL_PASSWORD_FILE": str(secret),
    }


@pytest.mark.parametrize(("protocol", "mechanism"), [("SASL_SSL", "SCRAM-SHA-512"), ("SSL", "")], ids=["scram", "certificates"])
async def test_every_role_and_the_command_line_over_tls(protocol, mechanism, authority, ports, clickhouse, tmp_path):
    """From the sender to the row in SQL, and what an operator asks."""
    door = free_port()
    environment = kafka_environment(protocol, mechanism, authority, ports, tmp_path) | {
        "CLICKTRAIL_CLICKHOUSE__URL": f"https://localhost:{door}",
        "CLICKTRAIL_CLICKHOUSE__DATABASE": DATABASE,
        "CLICKTRAIL_CLICKHOUSE__USER": "default",
        "CLICKTRAIL_CLICKHOUSE__PASSWORD": PASSWORD,
        "CLICKTRAIL_CLICKHOUSE__SSL_CAFILE": str(authority.ca),
    }
    async with tls_door(authority, door, clickhouse.port) as seen:
        with Roles(tmp_path, environment) as roles:

            def sh(work, *arguments, **more):
                return asyncio.to_thread(work, *arguments, **more)

            await sh(roles.cli, "topics", "apply")
            await sh(roles.cli, "migrate")
            await sh(roles.apply_workspace)
            for role in ROLES:
                roles.start(role)
            await sh(roles.click, f"c-{protocol}")
            await sh(roles.send, sub5=f"c-{protocol}", txid=f"T-{protocol}", payout="5", status="approved")
            while f"T-{protocol}\tok" not in await sh(roles.cli, "sql", "SELECT transaction_id, status FROM events"):
                roles.all_run()
                await asyncio.sleep(0.3)
            for command in (("lag",), ("topics", "ls"), ("dlq", "ls"), ("activity",)):
                await sh(roles.cli, *command)
            await roles.until_sound("--conservation")
    wanted = b"Basic " + base64.b64encode(f"default:{PASSWORD}".encode())
    assert {line.partition(b": ")[2] for line in seen} == {wanted}


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
async def test_who_does_not_know_the_password_gets_nowhere(mechanism, authority, ports, tmp_path):
    environment = kafka_environment("SASL_SSL", mechanism, authority, ports, tmp_path)
    with Roles(tmp_path, environment) as roles:
        await asyncio.to_thread(roles.cli, "topics", "apply")
        said = await asyncio.to_thread(roles.cli, "topics", "ls", code=3, CLICKTRAIL_KAFKA__SASL_PASSWORD="wrong")
        assert "password" in said
        assert PASSWORD not in said
        said = await asyncio.to_thread(roles.cli, "topics", "ls", code=3, CLICKTRAIL_KAFKA__SSL_CAFILE=str(authority.issue("other")[0]))
        assert "certificate" in said.lower()


async def test_a_file_that_is_no_certificate_is_named(tmp_path, authority, ports):
    environment = kafka_environment("SSL", "", authority, ports, tmp_path)
    with Roles(tmp_path, environment) as roles:
        said = await asyncio.to_thread(roles.cli, "topics", "ls", code=2, CLICKTRAIL_KAFKA__SSL_CAFILE=str(tmp_path))
        assert "CLICKTRAIL_KAFKA__SSL_CAFILE" in said
