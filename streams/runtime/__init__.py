"""Everything that touches the world: Faust, Kafka, RocksDB, clocks, logs. The stages know nothing of it."""
