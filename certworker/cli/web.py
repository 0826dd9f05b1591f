"""
`certworker web`: the page and the API without a worker.
"""

from __future__ import annotations

import logging
import os
import sys

import click

from certworker.observability import log
from certworker.redis.health import outage_watch
from certworker.settings import load
from certworker.web.server import INSTALLATION, is_installed, log_address, page_connection, web_server
from certworker.worker.worker import stop_on_signals

logger = logging.getLogger(__name__)


@click.command()
def command() -> None:
    """
    Serve the page and the API at CERTWORKER_WEB_ADDRESS until SIGTERM.

    The page reads the certificates from the volume and the state from Redis. An action becomes a job, which a
    worker runs. With a read-only volume, the page cannot import certificates. If CERTWORKER_STATE_DIR is
    read-only, a restart ends all sessions. `certworker work` serves the same page.

    \b
    Example:
      CERTWORKER_WEB_ADDRESS=127.0.0.1:8090 certworker web
    """
    settings = load(os.environ)
    if settings.web.address is None:
        raise click.ClickException("CERTWORKER_WEB_ADDRESS is off. Set an address, such as 127.0.0.1:8081.")
    if not is_installed():
        raise click.ClickException(f"The page needs more packages. Install them: {INSTALLATION}")
    log.configure(settings.log, settings.log_level, sys.stdout, settings.docs_url)
    connection = page_connection(settings)
    server, redis_watch = web_server(settings, connection, settings.web.address), outage_watch(connection)
    with stop_on_signals() as stop:
        server.start()
        redis_watch.start()
        log_address(settings, settings.web.address)
        stop.wait()
        redis_watch.stop()
        server.stop()
    logger.info("stopped", extra={"event": "stop"})
