"""
`certworker work` with the lease time of its argument in seconds, for tests that wait until a lease ends.
"""

from __future__ import annotations

import os
import sys

from certworker.cli.work import work
from certworker.observability import log
from certworker.settings import load

if __name__ == "__main__":
    settings = load(os.environ)
    log.configure(settings.log, settings.log_level, sys.stdout, settings.docs_url)
    sys.exit(work(settings, lease_seconds=int(sys.argv[1])))
