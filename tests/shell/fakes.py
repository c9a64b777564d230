"""What a shell asks of Kafka and RocksDB, written down instead of done."""

import asyncio


class FakeOutbox:
    """A producer whose every batch gets the next offset of its partition; `fail_at` names the step that breaks."""

    def __init__(self, actions, fail_at=None):
        self.actions, self.fail_at = actions, fail_at
        self.records = []
        self.changes = 0
        self.is_idle = True
        self.gate = None  # an Event that the commit waits for
        self.before = None
        self.is_flushed = asyncio.Event()

    async def begin(self, before=None):
        self.before, self.is_flushed = before, asyncio.Event()
        self.is_idle = False
        self._do("begin")

    async def send(self, out):
        self.records += list(out)
        self._do("send", [(topic, key, value) for topic, _, key, value, _ in out])

    async def send_changes(self, topic, partition, changes):
        self.changes += len(changes)
        self._do("send_changes", topic, partition, dict(changes))

    async def commit(self, offsets):
        if self.gate is not None:
            await self.gate.wait()
        self._do("commit", dict(offsets))
        self.is_flushed.set()
        self.is_idle = True
        return {("changelog", n): 100 + self.changes for n in range(2)} if self.changes else {}

    def _do(self, name, *what):
        if name == self.fail_at:
            raise ConnectionError(name)
        self.actions.append((name, *what))


class FakeStore:
    """The store as a dict."""

    def __init__(self, actions):
        self.actions, self.data, self.position = actions, {}, 0
        self.get = self.data.get

    def write(self, changes, position):
        changes = dict(changes)
        self.data.update(changes)
        self.position = position
        self.actions.append(("keep", changes, position))

    def close(self):
        self.actions.append(("close",))


def entry_of(action):
    """The changes of a `send_changes`."""
    return action[3]
