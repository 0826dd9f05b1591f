"""
OpenTelemetry, which is not in the image.
"""

raise ImportError("the image does not have OpenTelemetry")
