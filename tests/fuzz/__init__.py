"""
Hostile values for each reader of Redis, volume, CA, DNS and HTTP: `make fuzz`.

One property holds for all of them: a reader raises nothing but what its docstring names, no thread ends, and
the names beside the hostile value lose nothing.

    strategies    the hostile values
    conftest      the time that each test gets
    test_*        the readers, by source
"""
