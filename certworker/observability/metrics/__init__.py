"""
The metrics in the text format of Prometheus (https://prometheus.io/docs/practices/naming/).

In import order (★ to read first)::

    families      Every metric: its name, its type, its labels and its meaning
    label_values  The values of labels from closed sets
    counters      What the components count
    reading       Reads metrics during a scrape
    names         The metrics of names, which a scrape counts
    gauges        The other metrics that a scrape reads
    registry      ★ The metrics of one worker or mirror

A component that counts gets a plain function, such as :meth:`Counters.acme_request`.
"""
