"""
Tests of the answer to DNS-01 challenges.
"""
