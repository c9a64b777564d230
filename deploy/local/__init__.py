"""Everything on one machine: the real Kafka broker as a child process, and the ports that it and its neighbours need.

Embedded mode is the real thing, smaller: the same broker that runs in production, one node of it, so that every role, tool and
test takes one code path. Start at `kafka.py`.

    LocalServiceError          cannot run on this machine as asked; the message is made for the terminal: what, why, next
    +- KafkaError              the broker or its data folder
    +- JarError                its jars are missing or not the locked ones
    +- JvmError                no Java that can run it
    +- PortTakenError          somebody else listens there
"""


class LocalServiceError(RuntimeError):
    """A service cannot run here as asked. Catch this one, print it, exit with 3 (unavailable)."""
