"""
Other programs: Appwrite and Docker.
"""
