"""
A domain is ours: the answer to a challenge, put where the CA looks for it.
"""
