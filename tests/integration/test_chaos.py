"""The short form of `make chaos`: some faults on a whole installation under traffic, and no row is lost, doubled or different."""

import asyncio

import pytest

from bench.chaos.__main__ import Run, parser


@pytest.mark.timeout(280)
async def test_faults_leave_the_log_that_the_oracle_says(tmp_path):
    """Rule 13 and the promise of exactly once, end to end: roles and engine killed, state lost and damaged, the network cut, inserts of unknown
    fate, poison, settings changed mid-stream.
    """
    run = Run(tmp_path, parser().parse_args(["--short", "--rate", "60", "--patience", "90"]))
    rows = await asyncio.wait_for(run.everything(), 270)
    assert len(rows) == 1
    assert [row for row in rows if not row.is_kept] == []
    assert all(row.payloads and row.tries > 5 for row in rows)
