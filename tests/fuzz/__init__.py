"""
Hostile values for each reader of Redis, volume, CA, DNS and HTTP: `make fuzz`.

One property holds for each of them. A reader raises only the exceptions in its docstring, no thread ends, and
hostile values do not affect other names.

    strategies    the hostile values
    conftest      the time for each test
    test_*        the readers, by source
"""
