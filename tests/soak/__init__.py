"""
A soak test: certificates with a short lifetime, two workers, and repeated accidents for a given time.
"""
