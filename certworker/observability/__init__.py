"""
Log, metrics, events and the history of each name.

In the order in which they may import each other::

    event_publisher  What other programs are told of a name: the fields that Appwrite's certificate has, …
    history_writer   Writes the stories of all names down, a few lines at a time
    log              ★ The log: one line per step that a person can act on, for people or for machines
    metrics          The metrics, as Prometheus reads them (https://prometheus.io/docs/practices/naming/)
    history_handler  Hands each line of the log that is about a name to whoever keeps the story of that name
"""
