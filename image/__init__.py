"""
What makes the image, beside the Dockerfile: its bill of materials, and the digests of its base.
"""
