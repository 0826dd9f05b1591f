"""
An Appwrite as far as certificates go: compose files of the shape of its own, a core and a worker.
"""
