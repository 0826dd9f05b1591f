"""
What Redis remembers: who works on a name, when to look at it again, and what happened last.

Redis may lose any key at any moment (Appwrite's evicts by `allkeys-lru`), so nothing here is the truth.
The volume is; a missing key means "not known", never "nothing to do".

In the order in which they may import each other::

    text     reads values, whoever wrote them
    keys     the keys, with their types; removes those of another type
    once     the first of all workers within a time
    faults   what an error of Redis means
    schema   which version of the ledger stands there
    limits   how often a CA may be asked
    buckets  token buckets, taken from by all workers
    prices   what an order costs
    budget   what may still be ordered
    orders   where the orders under way are
    tokens   the challenge tokens that any worker may answer
    lock     one worker at a time for a name
    agenda   when to look at each name again
    record   what happened to a name last
    story    its last fifty events
    daily    what the log has today already
    doubts   which names the CA was asked about today in spite of a doubt
    configuration   which settings a worker was last started with
    events   what other programs are told of it
    outbox   what people are to be told
    parked   the records of names that wait for a slot
    lanes    who waits for a free slot, and who is next
"""
