"""
Tests of the replication to other hosts.
"""
