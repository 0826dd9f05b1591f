"""
The programs for the image, in addition to the Dockerfile: its bill of materials, and the pinned digests.
"""
