"""
The part of Appwrite for certificates: compose files in its format, a core and a worker.
"""
