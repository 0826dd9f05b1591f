"""
The RQ worker: its tasks, its queue, and its maintenance loop.

In import order (★ to read first)::

    memory           Limits the memory of the process: unused memory returns to the system
    health           The health of a worker: its report in Redis, and the reports of all workers
    clock_watch      Leaves the jobs to other workers while the clock of this worker is wrong
    own_domains      Requests a certificate for each name of the installation after the start of the worker
    moved_watch      The daily check of whether the names in service still point to this server
    maintenance      The maintenance loop: repairs, reconciliation, due renewals, and the removal of leftovers
    producer         Puts requests, removals, and wake-ups on the queue, in the wire format of RQ
    payload          Reads the data of a job: `[function, null, [arguments], {keyword arguments}]`
    job_report       Reports how a job ended: its last log line, a notification, an event, and a metric
    tasks            ★ The functions that a job may call
    json_only        Makes RQ read only JSON, even where a tool of RQ names no serializer
    wait             Waits until requests have ended
    time_limits      The time limits of all jobs, enforced by one thread
    job_class        The jobs that may run: those that name a registered function
    queue_stats      The state of the queue: positions, workers, `rq suspend`, and queues without a worker
    intake           Takes jobs from the queue, each with its fields in one round trip
    slots            The pool of slots, and the tenants of the jobs in them
    bulk             Takes, returns, and ends jobs in batches of hundreds
    dependents       Jobs that wait for another job, by `depends_on` of RQ
    recovery         Recovers the jobs of killed workers
    fair_scheduling  Moves requests that have to wait from the queue to the priority queues
    scheduler        Moves delayed jobs to the queue: RQ's scheduler, in a thread of the worker
    threaded_worker  RQ's worker with slots: each job runs in a thread
    worker           The job loop and its process: signals, CPU affinity, and outages of Redis
"""
