"""
Run the command line interface for `python -m certworker`.
"""

from certworker.cli import main

main()
