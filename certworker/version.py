"""
The version. The package build reads it from this module, which imports nothing.
"""

__version__ = "0.1.0"
