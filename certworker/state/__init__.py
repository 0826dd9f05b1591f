"""
The state in Redis. Redis may lose any part of it, because the volume is the source of truth.

In import order (★ to read first)::

    record_scripts    The scripts of the records
    forced_request    The forced request of a name, in fields of its record
    domain_records    ★ The last outcome of each name: its state, and its certificate or its failure
    recorded_states   The states and the tenants of many records, without their other fields
    locks             Locks on names with a lease and a fencing token: one worker at a time issues for a name
    once_per          Keys that mark events as done for a limited time
    priority_queues   The requests that wait for a slot, by priority and tenant
    schema            The version of the layout of this state, and a digest of the settings of the last start
    sightings         The names that pointed to another server at their last daily checks
    wake_ups          Wake-ups: delayed jobs that check the due names
    outbox            The notifications that wait for delivery, and the subjects of past notifications
"""
