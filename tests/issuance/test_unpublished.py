"""
Tests of certificates that are stored, but not in service.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from certworker.app import App
from certworker.errors import CertworkerError
from certworker.errors.ca import CaUnreachable
from tests.faults.service import NAME, in_service
from tests.servers.faulty_authority import FaultyAuthority


@contextmanager
def without_publication(place: Path) -> Iterator[None]:
    """
    Make each publication for NAME fail within the block.
    """
    file = place / f"config/{NAME}.yml"
    file.unlink(missing_ok=True)
    file.mkdir()
    yield
    file.rmdir()


def fail(app: App, *, force: bool = False) -> None:
    """
    Run an attempt that fails.
    """
    with pytest.raises(CertworkerError):
        app.issuance.issue((NAME,), force=force)


def serials(authority: FaultyAuthority) -> int:
    """
    Return how many orders the CA received.
    """
    return sum(request.kind == "newOrder" for request in authority.requests)


class TestUnpublished:
    def test_an_ordinary_retry_publishes(
        self, app: App, app_authority: FaultyAuthority, tmp_path: Path
    ) -> None:
        """
        The retry after a failed publication publishes the stored certificate, and orders nothing.
        """
        with without_publication(tmp_path):
            fail(app)
        outcome = app.issuance.issue((NAME,))

        assert ("issued", in_service(app, NAME)) == (outcome.state, outcome.metadata.serial)
        assert 1 == serials(app_authority)

    def test_a_forced_request_does_not_publish_an_older_certificate(
        self, app: App, app_authority: FaultyAuthority, tmp_path: Path
    ) -> None:
        """
        A forced request replaces the certificate of an earlier attempt, whose key may have leaked.
        """
        with without_publication(tmp_path):
            fail(app)
            stored = app.certificates.unpublished((NAME,))
        outcome = app.issuance.issue((NAME,), force=True)

        assert stored
        assert stored.metadata.serial != outcome.metadata.serial == in_service(app, NAME)
        assert [] == app.certificates.unpublished_sets()
        assert 2 == serials(app_authority)

    def test_a_forced_request_publishes_its_own_certificate(
        self, app: App, app_authority: FaultyAuthority, tmp_path: Path
    ) -> None:
        """
        The retry of a forced request publishes the certificate that its first attempt stored.
        """
        app.issuance.issue((NAME,))
        with without_publication(tmp_path):
            fail(app, force=True)
            fail(app)
        outcome = app.issuance.issue((NAME,))

        assert ("issued", in_service(app, NAME)) == (outcome.state, outcome.metadata.serial)
        assert "kept" == app.issuance.issue((NAME,)).state
        assert 2 == serials(app_authority)

    def test_an_order_that_fails_leaves_the_older_certificate_in_service(
        self, app: App, app_authority: FaultyAuthority, tmp_path: Path
    ) -> None:
        """
        If the order of a forced request fails, a repair puts the older certificate into service. No job for
        the publication makes an attempt at the CA.
        """
        with without_publication(tmp_path):
            fail(app)
            stored = app.certificates.unpublished((NAME,))
        app_authority.stop()
        with pytest.raises(CaUnreachable):
            app.issuance.issue((NAME,), force=True)
        app.repair.repair()

        assert stored
        assert stored.metadata.serial == in_service(app, NAME)
        assert 0 == app.repair.resume_publications()
        app_authority.start()
        assert stored.metadata.serial != app.issuance.issue((NAME,)).metadata.serial
