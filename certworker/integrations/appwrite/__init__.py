"""
The messages of Appwrite's core, as requests of certworker.

In the order in which they may import each other::

    claims      The claims of a worker: messages that have left Appwrite's queue and are not settled yet
    messages    What a message of Appwrite's core says, in the format of utopia-php/queue and in that …
    resque      The queue of php-resque (Appwrite until 1.2), with the delayed jobs of its scheduler
    translator  What becomes of a message of the core: a request on our queue, at once or after a …
    utopia      The queue of utopia-php/queue (Appwrite 1.3 and later), counted as its own consumer …
    consumer    ★ A thread beside the worker that empties the queues of Appwrite's core
"""
