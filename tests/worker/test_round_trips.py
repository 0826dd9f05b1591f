"""
Count the round trips to Redis of the jobs of a real worker.
"""

from __future__ import annotations

from pathlib import Path
from statistics import median

import pytest

from bench.round_trips import all_in, of_jobs
from certworker.worker.producer import request_certificate
from tests.app_fixture import environment
from tests.servers.faulty_authority import FaultyAuthority
from tests.servers.redis import RedisServer
from tests.servers.worker import WorkerProcess
from tests.worker.sample_tasks import end_of

#: The maximum for one job, without the command that waits for a job. The first jobs load scripts.
MOST = 9
WARM_UP = 2


class TestRoundTrips:
    @pytest.mark.timeout(120)
    def test_a_job_has_few_round_trips(
        self, tmp_path: Path, own_redis: RedisServer, app_authority: FaultyAuthority, http_port: int
    ) -> None:
        """
        A job of a real worker has at most nine round trips to Redis, from its id on the queue to its result.
        """
        variables = environment(
            tmp_path,
            app_authority.directory_url,
            http_port,
            _APP_REDIS_HOST="127.0.0.1",
            _APP_REDIS_PORT=str(own_redis.port),
        )
        worker, trips, counts = WorkerProcess(variables, tmp_path / "worker.log"), tmp_path / "trips", []
        worker.program = ["bench.round_trips", str(trips), "work"]
        with worker, own_redis.client() as connection:
            worker.wait_for_line("certworker .* ready")
            for number in range(WARM_UP + 5):
                before = len(all_in(trips))
                job_id = request_certificate(f"n{number}.localhost", connection=connection)
                assert "finished" == end_of(connection, job_id)[0]
                counts.append(len(of_jobs(all_in(trips)[before:])))

        # Without a count, nothing was measured.
        assert MOST / 2 < median(counts[WARM_UP:]) <= MOST
