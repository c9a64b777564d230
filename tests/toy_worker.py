"""A small role on the real chunk runtime, as a process of its own: dedup by key, with state, and a bad record now and then.

python -m tests.toy_worker BOOTSTRAP PREFIX INSTANCE STATE_DIR
"""

import logging
import sys
from pathlib import Path

from streams.runtime.app import RoleApp
from streams.runtime.worker import quiet_libraries, run_until_signal
from streams.topology import Role, Topic


def role_of(prefix: str) -> Role:
    topics = [Topic(f"{prefix}.{name}", "") for name in ("in", "side", "out", "state")]
    return Role("toy", "", (topics[0], topics[1]), (topics[2],), topics[3])


def stage_of(prefix: str):
    """Each record of `in` and `side` gives one output: first of its key, or a repeat of which."""
    out_topic = f"{prefix}.out"

    def stage(records, state, out):
        for record in records:
            if record.value == b"poison":
                raise ValueError("no rule for this record")
            key = b"k:" + record.key
            here = f"{record.topic[-2:]}/{record.partition}/{record.offset}".encode()
            first = state.get(key)
            if first is None:
                state.put(key, here)
            count = int(state.get(b"n:" + record.key) or 0) + 1
            state.put(b"n:" + record.key, b"%d" % count)
            out.send(out_topic, record.partition, record.key, b"%s %s %d" % (here, first or b"-", count))

    return stage


def main() -> None:
    bootstrap, prefix, instance, state_dir = sys.argv[1:5]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    quiet_libraries()
    app = RoleApp(
        role_of(prefix), lambda: stage_of(prefix), {"bootstrap_servers": bootstrap},
        group=prefix, instance=instance, state_dir=Path(state_dir), keep_s=86_400, commit_interval_s=0.1, chunk_records=500,
    )  # fmt: skip
    run_until_signal(app.start, app.stop)


if __name__ == "__main__":
    main()
