"""
Log, metrics, events and the history of each name.

In import order (★ to read first)::

    log      ★ The log: one line per step of a job, in the format `human` or `json`
    history  The history of each name: its last log lines, in Redis
    events   The results of jobs for other programs: the stream of events, and the fields of a result
    metrics  The metrics in the text format of Prometheus, a package
"""
