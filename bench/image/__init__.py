"""
A directory that precedes all packages for the measured processes.

It hides packages that the tests need and the image does not have: redis-py imports OpenTelemetry if it is
there.
"""
