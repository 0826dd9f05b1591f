"""
When each name is checked again, and which names are due.

In import order (★ to read first)::

    agenda         The next check of each name, in one sorted set of Redis
    policy         ★ When a certificate is renewed and a name is checked again, and the pauses after failures
    due            Checks the names whose next check is due, and enqueues those that need a job
    domain_status  The state of each name, from the volume, the records, and the agenda
    repair         Repairs the files in service, and requests jobs for certificates not yet in service
    reminders      When the operator of an imported certificate gets a reminder of its expiry
    expiry_alerts  Reports overdue certificates, and imported certificates that expire soon
    reconciler     Adds names that only the volume has to the agenda, and adopts other programs' certificates
"""
