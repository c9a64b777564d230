"""The short form of `python -m bench kills`: any role killed at random, and the log is that of a run that was left alone."""

import pytest

from bench.kills import compare


@pytest.mark.timeout(280)
async def test_the_log_after_kills_is_the_log_of_a_calm_run():
    """Rule 13 and the promise of exactly once, end to end: payloads to ClickHouse, with ledger, attribution, sink and the engine killed."""
    result = await compare(4_000, 4, 10, seed=3, http_payloads=400)
    assert sum(result["fire"]["kills"].values()) == 4, "every kill found its victim"
    assert result["differs"] == []
    assert result["is_kept"], result
