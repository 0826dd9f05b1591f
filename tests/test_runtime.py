"""
The loops and servers of a worker.
"""

from __future__ import annotations

import threading
from contextlib import ExitStack
from dataclasses import replace

from certworker.app import App
from certworker.runtime import _start_after_issuance, build_tasks


class TestFunctions:
    def test_jobs_may_call_three_functions(self, app: App) -> None:
        """
        The functions of a worker are the three of the wire format.
        """
        assert {"certworker.issue", "certworker.remove", "certworker.look"} == set(build_tasks(app))

    def test_without_proxy_and_reloads_no_loop_starts(self, app: App) -> None:
        """
        The worker starts no thread for work after an issuance without a proxy and without reloads.
        """
        settings = app.settings.model_copy(update={"proxy_address": None})
        threads = threading.active_count()
        with ExitStack() as stack:
            functions, _, loops = _start_after_issuance(replace(app, settings=settings), stack)

        assert ([], threads) == (loops, threading.active_count())
        assert set(build_tasks(app)) == set(functions)
