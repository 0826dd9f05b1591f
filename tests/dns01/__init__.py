"""
Test the solvers of DNS-01 challenges.
"""
