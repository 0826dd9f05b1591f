"""
A soak: short certificates, two workers, and one accident after the other, for as many minutes as one likes.
"""
