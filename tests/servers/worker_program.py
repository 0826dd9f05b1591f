"""
`certworker work` with leases of as many seconds as its argument, for tests that wait for their end.
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
