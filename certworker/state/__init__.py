"""
The state in Redis. Redis may lose any of it: the volume is the source of truth.

In the order in which they may import each other::

    domain_records    ★ The last outcome of each name: its state, its certificate, or why there is none
    locks             Locks on names with a lease and a fencing token: one worker issues for a name
    once_per          Keys of which the first writer within a time wins
    priority_queues   The requests that wait for a slot, by priority and tenant
    schema            The version of this layout, and the settings of the last start
    outbox            The notifications that wait for their delivery
"""
