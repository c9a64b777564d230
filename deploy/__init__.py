"""Where the services come from: the embedded Kafka broker, and how everything is started on one machine."""
