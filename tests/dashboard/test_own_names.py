"""
Tests of what a tenant sees of certificates that tenants share.
"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from certworker.app import App
from certworker.dashboard.name_details import name_details
from certworker.dashboard.names import NameIndex, NameQuery
from certworker.dashboard.own_names import HIDDEN, own_event, own_history
from certworker.dashboard.sources import Sources
from certworker.errors.acme import BadCertificate
from certworker.observability.history import HistoryEntry

#: The first name is of the tenant `rival`, the second of `acme`, the third of none.
THEIRS, OURS, FREE = "rival.localhost", "shop.rival.localhost", "free.localhost"
NAMES = (THEIRS, OURS, FREE)

TEXT = f"no TXT record of _acme-challenge.{THEIRS}. or {FREE}, but of {OURS} at https://{THEIRS.upper()}/x"
SHOWN = f"no TXT record of {HIDDEN} or {HIDDEN}, but of {OURS} at https://{HIDDEN}/x"


@pytest.fixture
def shared(app: App) -> App:
    """
    Put one certificate of two tenants into service, and record a later failure and a line of its history.
    """
    app.issuance.issue(NAMES)
    app.records.record_tenants({THEIRS: "rival", OURS: "acme"})
    failure = BadCertificate(name=", ".join(NAMES), reason=TEXT)
    app.records.record_failed(NAMES, failure, next_check=app.clock(), now=app.clock())
    for name in NAMES:
        app.history.append(name, HistoryEntry(datetime(2026, 11, 29, tzinfo=UTC), "INFO", TEXT))
    app.history.flush()
    return app


def event(**more: object) -> dict[str, object]:
    """
    Return an event of the certificate, with *more* fields.
    """
    texts = {"message": TEXT, "logs": TEXT, "problem": {"detail": [TEXT]}, "attempts": 2}
    return {"name": THEIRS, "names": list(NAMES), "tenant": "rival", **texts, **more}


class TestOwnEvent:
    def test_each_tenant_gets_its_names_only(self, shared: App) -> None:
        """
        Each tenant of the certificate gets the event with its names, and only the first one gets the log.
        """
        ours = own_event(shared.connection, event(), "acme")
        theirs = own_event(shared.connection, event(), "rival")

        assert ours == {
            "name": OURS,
            "names": [OURS],
            "tenant": "acme",
            "attempts": 2,
            "message": SHOWN,
            "logs": "",
            "problem": {"detail": [SHOWN]},
        }
        assert theirs is not None
        assert (THEIRS, [THEIRS], "rival", 2) == tuple(
            theirs[field] for field in ("name", "names", "tenant", "attempts")
        )
        assert FREE not in str(theirs)
        assert THEIRS in theirs["logs"]
        assert own_event(shared.connection, event(), "third") is None

    def test_the_event_has_the_tenant_of_its_time(self, shared: App) -> None:
        """
        A tenant that has got the first name later gets no earlier event. An event of one name is unchanged.
        """
        assert own_event(shared.connection, event(tenant="before"), "rival") is None
        single = event(names=[THEIRS])
        assert single == own_event(shared.connection, single, "rival")

    @pytest.mark.parametrize("names", [None, "x", [1, None], {}, [OURS, 7, ["x"]]])
    def test_hostile_names_are_left_out(self, shared: App, names: object) -> None:
        """
        An event of another program with invalid names belongs to its tenant only.
        """
        found = event(names=names)

        assert found == own_event(shared.connection, found, "rival")
        assert own_event(shared.connection, found, "acme") is None


class TestStatuses:
    def test_no_view_of_a_tenant_has_other_names(
        self, shared: App, sources: Sources, index: NameIndex
    ) -> None:
        """
        The status, the details, the list, and the history of a name hide the names of others.
        """
        details = name_details(sources, OURS, "acme")
        (listed,) = index.page(NameQuery(tenant="acme")).names
        found = index.find(OURS, "acme")

        assert details is not None
        assert found is not None
        for status in (details.status, listed, found):
            assert (OURS,) == status.names
            assert SHOWN in status.message
            assert FREE not in str(status)
        assert [SHOWN] == [entry.text for entry in own_history(sources, OURS, "acme")][-1:]

    def test_an_operator_sees_all_names(self, shared: App, sources: Sources, index: NameIndex) -> None:
        """
        Without a tenant, nothing is hidden.
        """
        found = index.find(OURS)

        assert found is not None
        assert set(NAMES) == set(found.names)
        assert TEXT in found.message
        assert [TEXT] == [entry.text for entry in own_history(sources, OURS, None)][-1:]
