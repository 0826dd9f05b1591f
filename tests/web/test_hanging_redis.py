"""
Tests of the page and the API, over HTTP, while Redis hangs.
"""

from __future__ import annotations

import json
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path

import pytest

from certworker.settings import HttpAddress, load
from certworker.validity import now_in_utc
from certworker.web.server import BOUNDS, page_connection, tokens_of, web_server
from tests.servers.redis import RedisServer
from tests.servers.worker import wait_until

#: Before the limit, a response took more than a minute on an idle machine.
FAR_LESS_THAN_BEFORE_SECONDS = 30

#: Views of each kind: pages, the API, the queue, and a route for proxies.
FROM_REDIS = (
    *("/", "/names", "/names/a.example.org"),
    *("/api/v1/summary", "/api/v1/names", "/api/v1/events", "/queue/"),
    "/proxies/ask?domain=a.example.org",
)
WITHOUT_REDIS = ("/login", "/assets/certworker.css", "/errors", "/api/v1/openapi.json")


class TestHangingRedis:
    @pytest.mark.timeout(180)
    def test_each_view_fails_fast_and_works_again(self, own_redis: RedisServer, tmp_path: Path) -> None:
        """
        Twice as many requests as threads get 503 with the code and the remedy, and block no other view.
        """
        settings = load(
            {
                "CERTWORKER_CERTIFICATES_DIR": str(tmp_path / "certificates"),
                "CERTWORKER_CONFIG_DIR": str(tmp_path / "config"),
                "CERTWORKER_REDIS_URL": own_redis.url,
            }
        )
        token = tokens_of(settings).create("admin", None, now_in_utc)

        def get(path: str) -> tuple[int, str, str]:
            client = HTTPConnection("127.0.0.1", server.port, timeout=120)
            client.request("GET", path, headers={"Authorization": f"Bearer {token}"})
            response = client.getresponse()
            text = "" if path.endswith("/events") and response.status == 200 else response.read().decode()
            client.close()
            return response.status, text, response.getheader("Retry-After", "")

        server = web_server(settings, page_connection(settings), HttpAddress("127.0.0.1", 0))
        server.start()
        process = own_redis.process
        assert process is not None
        try:
            assert 200 == get("/")[0]
            process.send_signal(signal.SIGSTOP)
            began = time.monotonic()
            with ThreadPoolExecutor(4 * BOUNDS.threads) as pool:
                requests = [*FROM_REDIS, *WITHOUT_REDIS] * (2 * BOUNDS.threads // len(FROM_REDIS) + 1)
                responses = dict(zip(requests, pool.map(get, requests), strict=True))
            seconds = time.monotonic() - began
            process.send_signal(signal.SIGCONT)
            wait_until(lambda: get("/")[0] == 200 or None, lambda: "the page does not work again")
        finally:
            process.send_signal(signal.SIGCONT)
            server.stop()

        for path in FROM_REDIS:
            status, text, retry_after = responses[path]
            assert (503, True) == (status, bool(retry_after)), path
            assert "redis.unreachable" in text
            assert "docker compose ps redis" in text
        assert "redis.unreachable" == json.loads(responses["/api/v1/names"][1])["code"]
        assert [200] * len(WITHOUT_REDIS) == [responses[path][0] for path in WITHOUT_REDIS]
        assert seconds < FAR_LESS_THAN_BEFORE_SECONDS
