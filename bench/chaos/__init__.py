"""`make chaos`: the promises of this pipeline against the faults that break others, as one table that anyone can make again.

    stack.py    everything of `clicktrail up`, with Kafka and ClickHouse in our hand and a proxy in front of each
    world.py    traffic in families: clicks, conversions, duplicates, refunds, tests; what the log has of it, and what must become of that
    faults.py   one function per fault: it strikes and undoes itself; `faults_of_*.py` are more of them
    judge.py    what is lost, doubled or different, against two references that are computed from the log itself
    round.py    one fault under traffic, until the rows are the reference's or the time is up
    table.py    the table, printed and kept in bench/results/chaos.json

The references need no calm run beside: payloads and clicks are read back from Kafka (so that whatever a fault did to their order counts as
it happened), and judged once by the independent oracle of tests/model and once by the stages over lists, whose rows are inserted in a
database beside and must be equal, column by column.
"""
