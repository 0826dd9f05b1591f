"""
Where certificates are ordered: a desk for each CA, with everything that is its own.

In the order in which they may import each other::

    under_way   orders that a crash or a slow CA interrupted
    desk        one CA: its client, its budget, its answers, its orders
    turns       which desk is asked, and when the next one is
    opening     ★ the desks that the settings ask for
"""
