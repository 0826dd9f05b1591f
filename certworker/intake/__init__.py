"""
How work arrives: a Redis queue in RQ's format, and the worker that empties it.

In the order in which they may import each other::

    redis_check  a Redis that fails: said once, tried again with growing pauses
    guard        survives keys of another type and endless answers
    client       the client of redis-py for an address
    connection   the client that the settings describe
    health       what a worker reports of itself, and who reads it
    queue        puts requests and wake-ups on the queue; needs no RQ
    payload      reads the data of a job
    queued       the position of a request on the queue, and whether any worker runs
    suspension   `rq suspend`: no job starts
    survey       how the queue stands, for a person who looks
    jobs         what a job may ask for; everything else fails it
    dependents   jobs that wait for another job (`depends_on`)
    recovery     what a dead worker left behind
    scheduler    brings delayed jobs to the queue when their moment comes
    processor    the one that all threads keep to
    signals      SIGTERM and SIGINT as an event
    slots        the slots of a worker, and whose jobs are in them
    batches      the queue, hundreds of jobs at a time
    parking      lets requests wait in their lanes
    pool         RQ's worker with slots: takes a job and runs it in a thread
    worker       keeps the pool at work until it is told to stop
    following    follows requests to their ends
    functions    what the registered names do
    appwrite/    the messages of Appwrite's core, as requests of ours
"""
