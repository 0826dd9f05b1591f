"""
Benchmarks of certworker, with other clients and a minimal client for comparison.
"""
