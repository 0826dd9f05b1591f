"""
What Redis remembers. It may lose any of it; the volume is the truth.

In the order in which they may import each other::

    configuration     The configuration that a worker was last started with
    domain_records    ★ What happened to a name last: its state, its certificate, or why there is none
    history           The story of each name: its last fifty events, in plain text that a console may show …
    locks             One worker at a time for a name: locks with a lease, and a token that tells the older …
    once_per          Keys of which the first writer within a time wins
    pending_orders    Where the orders under way are, so that a crash does not cost another one
    priority_queues   The lanes: who waits for a free slot, and who is next
    schema            The version of the ledger in Redis, so that an older worker does not misread a newer …
    deferred_records  The records of names that wait for a slot, written by the thousand
    doubts            Which names the CA was asked about today although it would probably say no
    events            What happened to each name, for other programs: a capped stream, and some fields …
    once_a_day        What has been said today already, by any worker
    outbox            The notifications that wait for their delivery
"""
