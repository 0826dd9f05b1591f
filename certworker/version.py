"""
The version, alone in its room so that a package build can read it without importing anything.
"""

__version__ = "0.1.0"
