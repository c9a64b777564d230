"""The ACLs of deploy/k8s/users.yaml on a broker that enforces them: each role does its work as its own user, and nothing more."""

import asyncio

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

from deploy.k8s.access import OPERATOR, USERS, acls
from deploy.local.kafka import Kafka
from deploy.local.ports import free_port
from streams.runtime.role_ports import ROLES
from tests.integration.roles_rig import WORKSPACE, Roles, rows_of

KINDS = {"topic": ResourceType.TOPIC, "group": ResourceType.GROUP, "transactionalId": ResourceType.TRANSACTIONAL_ID}
PASSWORD = "secret"
DEAD_END = """
destinations: [{id: dead, name: Dead end, url: "http://127.0.0.1:9/?c={click_id}", sending: {pause_after_s: 0.1, retry_after_s: [0.3, 0.3, 0.3, 0.3, 0.3, 0.3]}}]
"""


@pytest.fixture(scope="module")
async def broker(tmp_path_factory):
    """A broker with an authorizer: `root` may all, everybody else what users.yaml says."""
    ports = {name: free_port() for name in ("SASL_PLAINTEXT", "PLAINTEXT", "CONTROLLER")}
    listeners = ",".join(f"{name}://127.0.0.1:{port}" for name, port in ports.items())
    users = " ".join(f'user_{name}="{PASSWORD}"' for name in ("root", *USERS))
    own = Kafka(
        tmp_path_factory.mktemp("kafka"),
        ports["SASL_PLAINTEXT"],
        ports["CONTROLLER"],
        settings={
            "listeners": listeners,
            "advertised.listeners": ",".join(each for each in listeners.split(",") if not each.startswith("CONTROLLER")),
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
            "sasl.enabled.mechanisms": "PLAIN",
            "listener.name.sasl_plaintext.plain.sasl.jaas.config": f"org.apache.kafka.common.security.plain.PlainLoginModule required {users};",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS;User:root",
        },
    )
    await asyncio.to_thread(own.start)
    await asyncio.to_thread(grant, ports["PLAINTEXT"])
    yield own
    await asyncio.to_thread(own.kill)


def grant(port):
    admin = AdminClient({"bootstrap.servers": f"127.0.0.1:{port}"})
    bindings = [
        AclBinding(
            KINDS[acl.kind], acl.name, ResourcePatternType.PREFIXED if acl.is_prefix else ResourcePatternType.LITERAL, f"User:{user}", "*",
            AclOperation[operation.upper()], AclPermissionType.ALLOW,
        )
        for user in USERS for acl in acls(user) for operation in acl.operations
    ]  # fmt: skip
    for future in admin.create_acls(bindings).values():
        future.result()


def as_user(broker, name):
    return {
        "bootstrap_servers": broker.bootstrap_servers, "security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "PLAIN",
        "sasl_plain_username": name, "sasl_plain_password": PASSWORD,
    }  # fmt: skip


async def test_each_role_works_as_its_own_user(broker, clickhouse, tmp_path):
    environment = {
        "CLICKTRAIL_KAFKA__BOOTSTRAP_SERVERS": broker.bootstrap_servers,
        "CLICKTRAIL_KAFKA__SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "CLICKTRAIL_KAFKA__SASL_USERNAME": OPERATOR,
        "CLICKTRAIL_KAFKA__SASL_PASSWORD": PASSWORD,
        "CLICKTRAIL_PARTITIONS": "2",
        "CLICKTRAIL_CLICKHOUSE__URL": clickhouse.url,
        "CLICKTRAIL_CLICKHOUSE__DATABASE": "access",
        "CLICKTRAIL_DELIVERY__ALLOW_NETWORKS": "127.0.0.0/8",
    }
    with Roles(tmp_path, environment) as roles:

        def sh(work, *arguments, **more):
            return asyncio.to_thread(work, *arguments, **more)

        await sh(roles.cli, "topics", "apply")
        await sh(roles.cli, "migrate")
        await sh(roles.apply_workspace)
        for role in ROLES:
            roles.start(role, CLICKTRAIL_KAFKA__SASL_USERNAME=role)
        await sh(roles.click, "c1")
        await sh(roles.send, sub5="c1", txid="T1", payout="5", status="approved")
        await rows_of(as_user(broker, "root"), lambda rows: rows and rows[-1]["status"] == "ok")
        while "T1\tok" not in await sh(roles.cli, "sql", "SELECT transaction_id, status FROM events"):
            roles.all_run()
            await asyncio.sleep(0.3)
        await sh(roles.apply_workspace, WORKSPACE + DEAD_END)
        await sh(roles.click, "c2")
        await sh(roles.send, sub5="c2", txid="T2", payout="5", status="approved")
        while "no success for" not in await sh(
            roles.cli, "activity", "--author", "delivery", "--json"
        ):  # delivery pauses it, as its own user
            roles.all_run()
            await asyncio.sleep(0.3)
        await sh(roles.cli, "lag")
        await roles.until_sound()
        roles.all_run()
        refused = AdminClient({
            "bootstrap.servers": broker.bootstrap_servers, "security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN",
            "sasl.username": "ledger", "sasl.password": PASSWORD,
        })  # fmt: skip
        (future,) = refused.create_topics([NewTopic("clicktrail.mine.v1", 1, 1)]).values()
        with pytest.raises(KafkaException, match="TOPIC_AUTHORIZATION_FAILED"):
            await asyncio.to_thread(future.result)
