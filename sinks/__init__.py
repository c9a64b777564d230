"""Everything about ClickHouse: tables, migrations, the writer, and the embedded engine's endpoint."""
