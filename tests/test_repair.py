"""
What is stored comes into service, and what is in service stays so.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise

import pytest

from certworker.assembly import House
from certworker.errors import CertworkerError
from certworker.intake.batches import new_job
from certworker.repair import FIRST_PAUSE, LONGEST_PAUSE
from tests.serving.authority import Signer

NAME = "shop.localhost"


def requested(house: House) -> list[str]:
    """
    Take all requests from the lanes, and return the tenants.
    """
    taken = iter(partial(house.lanes.take, new_job("certworker.issue", datetime.now(UTC)), []), None)
    return [each.tenant for each in taken if each]


@pytest.fixture
def stored(house: House) -> House:
    """
    Return a house with a certificate that is stored, and not in service.
    """
    certificate = Signer().certificate(NAME)
    house.volume.store(certificate, authority="a", kind="private", token=1)
    return house


class TestResumePublications:
    def test_what_is_stored_and_not_in_service_is_requested(self, stored: House) -> None:
        """
        A worker died after it had stored the certificate; Redis may be empty.
        """
        assert 1 == stored.repair.resume_publications()
        assert ["shop.localhost"] == requested(stored)

        assert "issued" == stored.issuer.issue((NAME,)).state
        assert 0 == stored.repair.resume_publications()

    def test_a_name_with_a_job_at_work_is_left_to_it(self, stored: House) -> None:
        """
        It is between two steps.
        """
        with stored.locks.hold([NAME]):
            assert 0 == stored.repair.resume_publications()
        assert 1 == stored.repair.resume_publications()

    def test_pauses_double_while_the_cause_is_unknown(self, stored: House) -> None:
        """
        Each attempt writes lines into the log.
        """
        now = stored.clock()
        moments = []
        for second in range(3600):
            moment = now + timedelta(seconds=second)
            if replace(stored.repair, clock=lambda moment=moment: moment).resume_publications():  # type: ignore[misc]
                moments.append(moment - now)

        pauses = [after - before for before, after in pairwise(moments)]
        assert FIRST_PAUSE == pauses[0]
        assert LONGEST_PAUSE == max(pauses)
        assert pauses == sorted(pauses)

    def test_nothing_is_requested_while_a_directory_cannot_be_written(self, stored: House) -> None:
        """
        The attempt would fail. As soon as the directory can be written, it is requested.
        """
        place = stored.traefik.directory / ".certworker"
        place.mkdir(exist_ok=True)
        (place / "writing.lock").unlink(missing_ok=True)
        (place / "writing.lock").mkdir()
        for _ in range(3):
            assert 0 == stored.repair.resume_publications()
        with pytest.raises(CertworkerError):
            stored.traefik.check_writable()
        (place / "writing.lock").rmdir()

        assert 1 == stored.repair.resume_publications()
