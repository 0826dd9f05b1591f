"""
Would the CA say yes? Our own questions come first, because they cost none of its limits.
"""
