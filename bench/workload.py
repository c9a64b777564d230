"""The reference workload: what goes into Kafka before a system under measurement starts. Seeded, so that its result is known.

Conversions and clicks as JSON, keyed, in topics of 4 partitions (murmur2, as Kafka's own clients do it, so that a record has the same
partition and offset wherever it is loaded and the committed results in `expected/` hold):

- `pf-clicks`: 200,000 clicks keyed by click id; every second one also has an e-mail of its own.
- `pf-click-index`: the same under the two keys by which a conversion may find them, `c:<click id>` and `e:<e-mail>`, for peers whose
  phase A would only write this topic.
- `pf-raw-1m`: 1,000,000 conversions keyed by transaction id, 255 bytes on average. 10 % repeat a transaction id; 60 % approved; events
  Purchase, Lead, AddToCart; 60 % carry a known click id, 20 % an unknown one, 15 % only the e-mail of a click, 5 % nothing.

The small variant (50,000 conversions over 20,000 clicks) is for systems that would take minutes. Making a million rows costs 12 s of
CPU, loading them 3 s: so the rows are kept as lines under `.cache/bench/` after the first time.
"""

import random
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import orjson

SEED = 20261123
PARTITIONS = 4
CACHE = Path(__file__).parents[1] / ".cache" / "bench"

Row = dict[str, Any]


class Size(NamedTuple):
    """One variant of the workload."""

    name: str
    conversion_count: int
    click_count: int

    @property
    def suffix(self) -> str:
        """Of the click topics: the variants have different clicks."""
        return f"-{self.click_count // 1000}k"

    @property
    def raw(self) -> str:
        """Topic of the conversions."""
        return f"pf-raw-{self.name}"

    @property
    def clicks(self) -> str:
        """Topic of the clicks, by click id."""
        return f"pf-clicks{self.suffix}"

    @property
    def index(self) -> str:
        """Topic of the clicks, by both keys."""
        return f"pf-click-index{self.suffix}"


SIZES = {size.name: size for size in (Size("1m", 1_000_000, 200_000), Size("200k", 200_000, 200_000), Size("50k", 50_000, 20_000))}


def clicks(count: int) -> Iterator[Row]:
    """Yield the clicks."""
    rng = random.Random(SEED)
    for i in range(count):
        click_id, campaign = f"c{rng.getrandbits(64):016x}", f"cmp{rng.randrange(500)}"
        row = {"click_id": click_id, "campaign": campaign, "ip": _ip(rng), "ts": 1_763_900_000 + i // 100}
        if rng.random() < 0.5:
            row["email"] = f"u{i}@example.com"
        yield row


def index(count: int) -> Iterator[tuple[str, Row]]:
    """Yield (key, click) for each key by which a click is found."""
    for click in clicks(count):
        yield "c:" + click["click_id"], click
        if "email" in click:
            yield "e:" + click["email"], click


def conversions(count: int, click_count: int) -> Iterator[Row]:
    """Yield the conversions; a shorter run is the beginning of a longer one over the same clicks."""
    rng = random.Random(SEED + 1)
    known = list(clicks(click_count))
    emails = [click["email"] for click in known if "email" in click]
    unique = 0
    for i in range(count):
        if unique and rng.random() < 0.1:
            transaction = rng.randrange(unique)
        else:
            transaction = unique
            unique += 1
        row = {
            "transaction_id": f"T{transaction}",
            "amount": f"{rng.random() * 100:.2f}",
            "currency": "USD",
            "status": rng.choice(("approved", "approved", "approved", "pending", "rejected")),
            "event": rng.choice(("Purchase", "Lead", "AddToCart")),
            "ip": _ip(rng),
            "sub1": "abc",
            "sub2": "def",
            "ua": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36",
            "ts": 1_763_910_000 + i // 100,
        }
        share = rng.random()
        if share < 0.6:
            row["cid"] = known[rng.randrange(len(known))]["click_id"]
            if rng.random() < 0.5:
                row["email"] = f"other{rng.randrange(100_000)}@example.com"
        elif share < 0.8:
            row["cid"] = f"x{rng.getrandbits(64):016x}"
        elif share < 0.95:
            row["email"] = emails[rng.randrange(len(emails))]
        yield row


def _ip(rng: random.Random) -> str:
    return f"10.{rng.randrange(256)}.{rng.randrange(256)}.{rng.randrange(256)}"


def load(bootstrap: str, size: Size, *, with_index: bool = True) -> None:
    """Write the input topics, those that are not there yet. Clicks first: their timestamps precede those of the conversions."""
    _load(bootstrap, size.clicks, lambda: ((row["click_id"], row) for row in clicks(size.click_count)))
    if with_index:
        _load(bootstrap, size.index, lambda: index(size.click_count))
    rows = lambda: ((row["transaction_id"], row) for row in conversions(size.conversion_count, size.click_count))  # noqa: E731
    _load(bootstrap, size.raw, rows)


def _load(bootstrap: str, topic: str, rows: Callable[[], Iterable[tuple[str, Row]]]) -> None:
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient, NewTopic

    admin = AdminClient({"bootstrap.servers": bootstrap})  # must outlive its futures
    try:
        admin.create_topics([NewTopic(topic, PARTITIONS, 1, config={"retention.ms": "-1"})])[topic].result(30)
    except KafkaException as error:
        if "TOPIC_ALREADY_EXISTS" in str(error):
            return
        raise
    produce(bootstrap, topic, _lines(topic, rows))


def _lines(topic: str, rows: Callable[[], Iterable[tuple[str, Row]]]) -> Iterator[tuple[bytes, bytes]]:
    """Yield (key, value), from the cache if it is there. A line is key, tab, JSON: neither can contain a tab or a newline."""
    path = CACHE / f"{topic}.tsv"
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        with partial.open("wb") as file:
            file.writelines(b"%s\t%s\n" % (key.encode(), orjson.dumps(row)) for key, row in rows())
        partial.replace(path)
    with path.open("rb") as file:
        for line in file:
            key, _, value = line.rstrip(b"\n").partition(b"\t")
            yield key, value


def produce(bootstrap: str, topic: str, records: Iterable[tuple[bytes, bytes]]) -> None:
    """Write records in order (one request in flight), partitioned as Kafka's Java client would."""
    from confluent_kafka import Producer

    producer = Producer(
        {"bootstrap.servers": bootstrap, "partitioner": "murmur2_random", "linger.ms": 20, "batch.num.messages": 20_000,
         "queue.buffering.max.messages": 200_000, "max.in.flight": 1, "acks": "all"}
    )  # fmt: skip
    for key, value in records:
        while True:
            try:
                producer.produce(topic, value, key)
                break
            except BufferError:
                producer.poll(0.1)
    if producer.flush(60):
        raise RuntimeError(f"{topic}: not everything was written within 60 s")
