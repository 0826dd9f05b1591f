"""
When each name is checked again, and what is due.

In import order::

    agenda         The next check of each name, in one sorted set of Redis
    policy         ★ When a certificate is renewed, when a name is checked again, and how long failures wait
    due            Enqueues what is due
    domain_status  The state of each name, from the volume, the records and the agenda
    repair         Repairs what is in service without asking the CA
    expiry_alerts  Reports certificates that should have been renewed long ago
    reconciler     Puts back on the agenda what Redis has lost, and adopts the certificates of other programs
"""
