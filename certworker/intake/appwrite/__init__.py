"""
Appwrite's own messages: what its core puts on its queue becomes requests on ours.

In the order in which they may import each other::

    messages   what a message says, in both of its formats
    claims     messages between its queue and ours, taken without loss
    utopia     its queue since 1.3
    resque     its queue until 1.2
    translator what becomes of a message
    consumer   ★ a thread beside the worker that empties the queues
"""
