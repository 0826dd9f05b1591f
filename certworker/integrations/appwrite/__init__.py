"""
Appwrite's messages, which become requests of certworker.

In import order (★ to read first)::

    claims      The claims of a worker: messages that it has taken from Appwrite's queue and not yet settled
    messages    The formats of a message: utopia-php/queue and php-resque
    resque      The queue of php-resque (Appwrite 1.2 and earlier)
    utopia      The queue of utopia-php/queue (Appwrite 1.3 and later)
    consumer    ★ The thread that empties Appwrite's queues, and turns messages into requests
"""
