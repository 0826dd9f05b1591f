"""
Benchmarks: certworker beside the clients that others use, and beside what is possible at all.
"""
