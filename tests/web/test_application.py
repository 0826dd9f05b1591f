"""
Tests of the application: the headers of each answer, and the form of a refusal.
"""

from __future__ import annotations

from pathlib import Path

from certworker.web.access import allowed
from tests.web.application import open_application


class TestApplication:
    def test_each_answer_has_the_headers_that_protect_it(self, tmp_path: Path) -> None:
        """
        The browser runs no inline script, loads nothing external and shows the page in no frame.
        """
        response = open_application(tmp_path / "tokens").test_client().get("/missing")
        policy = response.headers["Content-Security-Policy"]

        assert 404 == response.status_code
        assert policy.startswith("default-src 'none'; ")
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert "nosniff" == response.headers["X-Content-Type-Options"]
        assert "no-referrer" == response.headers["Referrer-Policy"]

    def test_the_api_refuses_with_a_problem_document(self, tmp_path: Path) -> None:
        """
        A refused call of the API gets a problem document, and a refused view a text.
        """
        application = open_application(tmp_path / "tokens", open_on_loopback=False)
        for path in ("/api/v1/test", "/test"):
            application.add_url_rule(path, path, allowed("read")(lambda: "shown"))
        client = application.test_client()

        assert "application/problem+json" == client.get("/api/v1/test").content_type
        assert [401, 401] == [client.get(path).status_code for path in ("/api/v1/test", "/test")]
