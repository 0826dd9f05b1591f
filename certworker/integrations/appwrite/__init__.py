"""
Appwrite's messages, which become requests of certworker.

In import order::

    claims      The claims of a worker: messages that it has taken from Appwrite's queue and not yet settled
    messages    The formats of a message: utopia-php/queue and php-resque
    resque      The queue of php-resque (Appwrite until 1.2)
    utopia      The queue of utopia-php/queue (Appwrite 1.3 and later)
    consumer    ★ The thread that empties Appwrite's queues, and turns messages into requests
"""
