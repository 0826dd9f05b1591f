"""
The steps of a job and their durations.

In import order::

    steps    ★ The steps of a job and their durations
"""
