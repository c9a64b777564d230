"""Everything on one machine: the real Kafka broker as a child process, and the ports that it and its neighbours need.

Embedded mode is the real thing, smaller: the same broker that runs in production, one node of it, so that every role, tool and
test takes one code path. Start at `kafka.py`.
"""
