"""
certworker: a name on the queue becomes a padlock, and keeps it.
"""
