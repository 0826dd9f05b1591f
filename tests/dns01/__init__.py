"""
Tests of the solvers of DNS-01 challenges.
"""
