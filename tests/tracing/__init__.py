"""
Tests of the steps of a job and their traces.
"""
