"""
Tests of what is left of the limits.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from certworker.app import App
from certworker.dashboard.limits import limits
from certworker.dashboard.sources import Sources
from certworker.ratelimits.budget import Budget
from certworker.settings import load
from tests.app_fixture import environment

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)


def sources_with(app: App, place: Path, figures: dict[str, str]) -> Sources:
    """
    Return the sources of *app* with limits from a file.
    """
    authority = str(app.settings.authority.directory_url)
    file = place / "limits.json"
    file.write_text(json.dumps({authority: figures}))
    settings = load(environment(place, authority, 9, CERTWORKER_LIMITS_FILE=str(file)))
    return Sources.of(settings, app.connection, lambda: NOW)


class TestLimits:
    def test_each_order_uses_the_limits(self, app: App, tmp_path: Path) -> None:
        """
        The limits show what is left of the account and of the registered domain, and the next order.
        """
        sources = sources_with(
            app, tmp_path, {"orders_per_account": "4/4h", "certificates_per_domain": "50/7d"}
        )
        choice = sources.settings.authority
        budget = Budget.for_issuer(
            sources.settings, choice, app.connection, sources.certificates, sources.clock
        )
        (before,) = limits(sources)
        assert [4] == [each.left for each in before.limits if each.kind == "orders"]
        # After the loss of its data, certworker assumes that half of the orders are used.
        for name in ("a.example.org", "b.example.org"):
            with budget.reserve([name], exempt=False, renewal=False):
                pass
        (after,) = limits(sources)

        assert (choice.label, choice.title) == (after.authority, after.title)
        assert NOW == before.next_order
        assert NOW + timedelta(hours=1) == after.next_order
        found = [(each.kind, each.subject, each.left, each.of, each.period) for each in after.limits]
        assert ("orders", "", 0, 4, timedelta(hours=4)) in found
        assert ("domain", "example.org", 48, 50, timedelta(days=7)) in found
        assert [NOW + timedelta(hours=1), NOW] == [each.next_order for each in after.limits]

    def test_a_ca_without_known_limits_has_none(self, app: App, sources: Sources) -> None:
        """
        For a CA without known limits, the next order is possible now.
        """
        (only,) = limits(sources)

        assert () == only.limits
        assert only.next_order <= app.clock()
