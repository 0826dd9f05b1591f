"""
Tests of the queue of RQ: for reading, for administrators, and without the code of hostile jobs.
"""

from __future__ import annotations

import pickle
import re
from base64 import b64encode
from hashlib import sha256
from pathlib import Path

import pytest
from flask import Flask
from redis import Redis

from certworker.web.queue import mount_queue
from certworker.worker.producer import request_certificate
from tests.web.application import client_with, create_token, open_application

ACTIONS = [
    "/queue/job/x/delete",
    "/queue/job/x/requeue",
    "/queue/requeue/certificates",
    "/queue/queue/certificates/queued/empty",
    "/queue/queue/certificates/compact",
]
#: Markup that a job has as its description.
MARKUP = "<img src=x onerror=alert(1)><script>alert(1)</script>"


class Touch:
    """
    An object whose pickle creates a file when it is read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self._path,)


@pytest.fixture
def application(tmp_path: Path, connection: Redis) -> Flask:
    """
    Return an application with the queue of the Redis of the tests.
    """
    application = open_application(tmp_path / "tokens")
    mount_queue(application, connection)
    return application


class TestAccess:
    def test_only_an_administrator_without_a_tenant_sees_the_queue(
        self, application: Flask, tmp_path: Path
    ) -> None:
        """
        Other tokens get 403, and requests without a token the login. Without tokens, this machine sees it.
        """
        assert 200 == application.test_client().get("/queue/").status_code
        path = tmp_path / "tokens"
        tokens = [create_token(path, role) for role in ("read", "operate", "admin")]
        tokens.append(create_token(path, "admin", "acme"))
        statuses = [client_with(application, token).get("/queue/").status_code for token in tokens]

        assert [403, 403, 200, 403] == statuses
        assert 303 == application.test_client().get("/queue/0/data/queues.json").status_code

    @pytest.mark.parametrize("path", ACTIONS)
    def test_it_is_for_reading_only(
        self, application: Flask, connection: Redis, tmp_path: Path, path: str
    ) -> None:
        """
        No action of rq-dashboard is available, not even to an administrator.
        """
        request_certificate("shop.example.org", connection=connection)
        before = {key: connection.dump(key) for key in connection.scan_iter()}
        admin = client_with(application, create_token(tmp_path / "tokens", "admin"))

        assert {403, 405} >= {admin.get(path).status_code, admin.post(path).status_code}
        assert before == {key: connection.dump(key) for key in connection.scan_iter()}

    @pytest.mark.parametrize(
        "path",
        [
            "/queue/1/view/queues",
            "/queue/0/view/jobs/a'b/queued/8/asc/1",
            "/queue/0/view/jobs/certificates/<x>/8/asc/1",
            "/queue/0/view/jobs/certificates/queued/9999/asc/1",
            "/queue/0/data/jobs/certificates/queued/8/x/1.json",
            "/queue/0/view/job/missing",
            "/queue/0/view/job/a b",
        ],
    )
    def test_other_parts_of_a_path_are_unknown(self, application: Flask, path: str) -> None:
        """
        A part of a path that rq-dashboard would write into its script, or not understand, is 404.
        """
        assert 404 == application.test_client().get(path).status_code


class TestViews:
    def test_the_views_show_the_jobs_of_certworker(self, application: Flask, connection: Redis) -> None:
        """
        The lists and the view of a job respond with the requests that wait.
        """
        job_id = request_certificate("shop.example.org", connection=connection)
        client = application.test_client()
        listed = client.get("/queue/0/data/jobs/certificates/queued/8/asc/1.json").get_json()
        shown = client.get(f"/queue/0/data/job/{job_id}.json").get_json()

        assert [job_id] == [job["id"] for job in listed["jobs"]]
        assert "queued" == shown["status"]
        for path in ("", "0/view/jobs", "0/view/workers", f"0/view/job/{job_id}", "0/data/workers.json"):
            assert 200 == client.get(f"/queue/{path}").status_code
        assert 200 == client.get("/queue/static/css/main.css").status_code
        assert 200 == client.get("/queue/icon/favicon.ico").status_code

    def test_a_pickle_in_a_job_is_not_read(
        self, application: Flask, connection: Redis, tmp_path: Path
    ) -> None:
        """
        A job whose fields are pickles runs no code in the page.
        """
        job_id = str(request_certificate("shop.example.org", connection=connection))
        for field in ("data", "meta", "result"):
            connection.hset(f"rq:job:{job_id}", field, pickle.dumps(Touch(tmp_path / field)))
        client = application.test_client()
        for path in (
            f"view/job/{job_id}",
            f"data/job/{job_id}.json",
            "data/jobs/certificates/queued/8/asc/1.json",
        ):
            client.get(f"/queue/0/{path}")

        assert not {"data", "meta", "result"} & {each.name for each in tmp_path.iterdir()}

    def test_only_the_script_of_rq_dashboard_may_run(self, application: Flask, connection: Redis) -> None:
        """
        The policy of the queue has the hash of the one script inside the page, and no other page has it.
        """
        job_id = str(request_certificate("shop.example.org", connection=connection))
        connection.hset(f"rq:job:{job_id}", "description", MARKUP)
        response = application.test_client().get(f"/queue/0/view/job/{job_id}")
        policy = response.headers["Content-Security-Policy"]
        (script,) = re.findall(r'<script type="text/javascript">(.*?)</script>', response.text, re.DOTALL)

        assert f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" in policy
        assert "script-src 'self' 'unsafe-eval' 'sha256-" in policy
        assert "'unsafe-inline'" not in policy.partition("style-src")[0]
        assert "default-src 'none'" in policy
        data = application.test_client().get(f"/queue/0/data/job/{job_id}.json")
        assert "<" not in data.get_data(as_text=True)
        assert MARKUP.replace("<", "\u2039") == data.get_json()["description"]
        other = application.test_client().get("/login").headers["Content-Security-Policy"]
        assert "unsafe" not in other
