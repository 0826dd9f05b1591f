"""
Log, metrics, events and the history of each name.

In the order in which they may import each other::

    log              ★ the log: one line per step that a person can act on, for people or for machines
    history_log      the log lines about each name, written to its history in Redis
    event_publisher  results of jobs, published to other programs
    metrics          the metrics in the text format of Prometheus
"""
