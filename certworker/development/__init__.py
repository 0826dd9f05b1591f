"""
A CA and a Redis for a laptop and for the tests; only `work`, `demo` and the tests start them.
"""
