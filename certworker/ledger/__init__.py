"""
What Redis remembers: who works on a name, when to look at it again, and what happened last.

Redis may lose any key at any moment (Appwrite's evicts by `allkeys-lru`), so nothing here is the truth.
The volume is; a missing key means "not known", never "nothing to do".
"""
