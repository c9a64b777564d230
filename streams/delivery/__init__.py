"""Delivery: postback requests become HTTP, every try is on record, and nothing is sent twice that was not asked for twice.

    postbacks.v1  ──> stage (pure) ──> attempts.v1 (rows), activity.v1 (resends)         request.py  what is sent: template or platform
    deliveries.v1 ──>   │ state                                                          outcome.py  what the answer means
        ▲               ▼ committed                                                      schedule.py when it is tried again
        └──────────  desk.py ──> lane.py (one per destination) ──> client.py ──> HTTP    breaker.py  whether it is tried now

All that happens is a record: that a try begins, how it ended, that somebody wants a postback again. State is a fold over two topics, and
the sender acts only on what is committed. A kill between *begun* and *ended* leaves a begun try without an end: it is put on record as
one whose result is not known, and sent again with the same idempotency key.
"""
