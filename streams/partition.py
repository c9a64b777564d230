"""Which partition a key lives on: one function for everybody who sends to a keyed topic.

xxhash costs 0.1 us against 9 us for aiokafka's murmur2 in Python. Nothing depends on murmur2: our producers always name the partition.
"""

from xxhash import xxh3_64_intdigest


def partition_of(key: bytes, count: int) -> int:
    """Map a key to one of `count` partitions, the same for ever."""
    return xxh3_64_intdigest(key) % count
