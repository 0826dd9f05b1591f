"""
What people are told.

In the order in which they may import each other::

    log        one line per step, for people or for machines
    narrator   hands each line about a name to its story
    metrics    what Prometheus sees
    notice     what a human is told, as a letter
    mail       to a mailbox
    hooks      to a URL
"""
