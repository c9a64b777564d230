"""The supervisor's look after Kafka and ClickHouse: one that does not start is tried again, and takes nobody with it."""

from deploy.local import LocalServiceError, services
from deploy.local.services import Services


class Broken:
    """A service that ends at once, so many times."""

    def __init__(self, failures):
        self.failures, self.starts, self.pid = failures, 0, None

    def start(self):
        self.starts += 1
        if self.starts <= self.failures:
            raise LocalServiceError("killed while it started")
        self.pid = 1

    def stop(self, timeout_s): ...


def test_what_does_not_start_is_tried_again(monkeypatch):
    monkeypatch.setattr(services, "AGAIN_S", 0.0)
    watched, said = Services.__new__(Services), []
    broken, well = Broken(2), Broken(0)
    watched.restarts, watched._again_at, watched.running = {}, {}, {"clickhouse": broken, "kafka": well}
    for _ in range(4):
        watched.watch(said.append)
    assert (broken.pid, broken.starts, well.starts) == (1, 3, 1)
    assert watched.restarts == {"clickhouse": 3, "kafka": 1}
    assert sum("killed while it started" in line for line in said) == 2


def test_between_two_tries_it_is_left_alone(monkeypatch):
    monkeypatch.setattr(services, "AGAIN_S", 60.0)
    watched = Services.__new__(Services)
    broken = Broken(9)
    watched.restarts, watched._again_at, watched.running = {}, {}, {"clickhouse": broken}
    for _ in range(5):
        watched.watch(lambda _: None)
    assert broken.starts == 1
