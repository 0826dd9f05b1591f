"""
Tests of the application: the headers of each answer, and the form of a refusal.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from certworker.version import __version__
from certworker.web.access import allowed
from certworker.web.application import LONGEST_BODY
from tests.web.application import create_token, log_in, open_application


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

    def test_a_refusal_has_the_form_of_its_client(self, tmp_path: Path) -> None:
        """
        A refused call of the API gets a problem document, and a refused view a page or the login.
        """
        application = open_application(tmp_path / "tokens", open_on_loopback=False)
        for path in ("/api/v1/test", "/test"):
            application.add_url_rule(path, path, allowed("admin")(lambda: "shown"), methods=["GET", "POST"])
        client = application.test_client()
        reader = log_in(application, create_token(tmp_path / "tokens", "read"))

        call = client.get("/api/v1/test")
        assert (401, "application/problem+json") == (call.status_code, call.content_type)
        assert 'Bearer realm="certworker"' == call.headers["WWW-Authenticate"]
        assert (303, "/login?next=/test") == (client.get("/test").status_code, client.get("/test").location)
        assert (401, "text/html") == (client.post("/test").status_code, client.post("/test").mimetype)
        page = reader.get("/test")
        assert (403, "text/html") == (page.status_code, page.mimetype)
        assert "Use a token with the role admin." in page.text

    @pytest.mark.parametrize("path", ["/api/v1/missing", "/missing"])
    def test_a_missing_path_is_404_in_the_form_of_its_client(self, tmp_path: Path, path: str) -> None:
        """
        An unknown path is a problem document in the API, and a page elsewhere.
        """
        response = open_application(tmp_path / "tokens").test_client().get(path)
        expected = "application/problem+json" if path.startswith("/api") else "text/html"

        assert (404, expected) == (response.status_code, response.mimetype)
        assert path.startswith("/api") or "Start again at the overview." in response.text

    def test_an_unexpected_error_refers_to_the_log(self, tmp_path: Path) -> None:
        """
        The page of an unexpected error names the log, because the log has the traceback.
        """
        application = open_application(tmp_path / "tokens")
        application.add_url_rule("/test", "test", allowed("read")(lambda: str(1 / 0)))
        response = application.test_client().get("/test")

        assert (500, "text/html") == (response.status_code, response.mimetype)
        assert "Read the log of certworker." in response.text

    def test_another_method_is_405_with_the_allowed_ones(self, tmp_path: Path) -> None:
        """
        A wrong method is answered with the allowed ones, as a problem document in the API.
        """
        application = open_application(tmp_path / "tokens")
        application.add_url_rule("/api/v1/test", "test", allowed("read")(lambda: "shown"))
        response = application.test_client().delete("/api/v1/test")

        assert (405, "application/problem+json") == (response.status_code, response.content_type)
        assert {"GET", "HEAD", "OPTIONS"} == set(response.headers["Allow"].split(", "))

    @pytest.mark.parametrize(
        "path",
        [
            "/x//login",
            "/%2e%2e/login",
            "/..%2flogin",
            "/login/",
            "/\\login",
        ],
    )
    def test_no_path_is_corrected_by_a_redirect(self, tmp_path: Path, path: str) -> None:
        """
        A path with another spelling is unknown, and never becomes a redirect to another host.
        """
        response = open_application(tmp_path / "tokens").test_client().get(path)

        assert 404 == response.status_code
        assert "Location" not in response.headers

    def test_a_large_body_is_refused(self, tmp_path: Path) -> None:
        """
        A form that is too large is refused before it is read.
        """
        client = open_application(tmp_path / "tokens").test_client()

        assert 413 == client.post("/login", data={"token": "x" * (LONGEST_BODY + 1)}).status_code

    def test_the_text_of_a_request_is_escaped(self, tmp_path: Path) -> None:
        """
        The page of a failure and the form contain no markup of the request.
        """
        client = open_application(tmp_path / "tokens").test_client()

        assert "<script>" not in client.get("/<script>").text
        assert "<script>" not in client.get("/login?next=/<script>").text

    def test_the_version_is_for_users_only(self, tmp_path: Path) -> None:
        """
        The login does not reveal the version, by which an attacker could choose a known fault.
        """
        application = open_application(tmp_path / "tokens", open_on_loopback=False)
        reader = log_in(application, create_token(tmp_path / "tokens", "read"))

        assert __version__ not in application.test_client().get("/login").text
        assert __version__ in reader.get("/login").text
