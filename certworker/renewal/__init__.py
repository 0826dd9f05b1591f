"""
When each name is checked again, and what is due.

In the order in which they may import each other::

    agenda         The agenda: when to look at each name again
    timing         When to check again: pure arithmetic on moments
    progress       The log lines of long work over many names: how much is done, the rate, the time left
    domain_status  How each name stands: what the volume serves, what the ledger remembers, what the …
    policy         ★ When a certificate is renewed, and when it is looked at next: the CA's advice and our …
    repair         What is stored comes into service, and what is in service stays so, without the CA
    expiry_alerts  Certificates that should have been renewed long ago: louder the later it is, and …
    reconciler     The rounds of the night watch: what is due, and what Redis has forgotten
"""
