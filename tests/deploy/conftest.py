"""The engine that the SQL of dashboards and alerts runs on."""

from tests.integration.conftest import clickhouse  # noqa: F401  a fixture
