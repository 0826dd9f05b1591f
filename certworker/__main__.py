"""
`python -m certworker` is `certworker`.
"""

from certworker.cli import main

main()
