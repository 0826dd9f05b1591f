"""
Tests of the check whether a name in service still points to this server.
"""

from __future__ import annotations

import pytest

from tests.app_fixture import PROVIDER
from tests.moving import ELSEWHERE, HERE, OTHER_NAME, in_service, move, status, watch
from tests.scenarios.installation import NAME, Installation
from tests.servers.web import always


class TestWhatCounts:
    def test_a_name_that_no_longer_exists_has_moved(self, platform: Installation) -> None:
        """
        The authoritative servers deny that the name exists. That is a definite answer.
        """
        platform.dns.servers[-1].rows[OTHER_NAME] = {"A": [HERE]}
        app = in_service(platform, OTHER_NAME)
        del platform.zone.rows[OTHER_NAME]

        watch(platform, app, days=3)

        assert "moved" == status(app, OTHER_NAME).state
        assert "found: no address" in status(app, OTHER_NAME).message

    def test_a_domain_that_is_not_registered_has_not_moved(self, platform: Installation) -> None:
        """
        The registry may have suspended the domain for some days. No server is authoritative then.
        """
        app = in_service(platform)
        platform.zone.rows.clear()
        platform.dns.resolver.rows.clear()

        watch(platform, app, days=4)

        assert "valid" == status(app).state

    def test_a_name_behind_a_cdn_has_not_moved(self, platform: Installation) -> None:
        """
        The name has the address of a CDN, which forwards the test response.
        """
        app = in_service(platform)
        platform.serve(platform.forward(), ELSEWHERE)

        watch(platform, app, days=4)

        assert "valid" == status(app).state

    @pytest.mark.parametrize("code", [403, 429, 503])
    def test_a_cdn_that_refuses_is_no_definite_answer(self, platform: Installation, code: int) -> None:
        """
        A CDN may refuse a request, or may not reach this server.
        """
        app = in_service(platform)
        move(platform, code)

        watch(platform, app, days=4)

        assert "valid" == status(app).state

    def test_a_cdn_may_hide_this_server(self, platform: Installation) -> None:
        """
        A CDN may redirect the test response to HTTPS, where another path applies.
        """
        app = in_service(platform)
        platform.serve(always(404, Server="cloudflare", CF_RAY="8f3"), ELSEWHERE)

        watch(platform, app, days=4)

        assert "valid" == status(app).state

    def test_a_hoster_of_sites_hides_no_server(self, platform: Installation) -> None:
        """
        A customer may move to a hoster that sends headers like a CDN.
        """
        app = in_service(platform)
        platform.serve(always(404, X_Vercel_Id="fra1"), ELSEWHERE)

        watch(platform, app, days=3)

        assert "moved" == status(app).state

    def test_a_name_that_points_here_costs_two_queries(self, platform: Installation) -> None:
        """
        The daily check of a name that has not moved asks only the resolver for its addresses.
        """
        app = in_service(platform)
        asked = platform.dns.resolver.asked, platform.zone.asked
        for each in asked:
            each.clear()

        watch(platform, app)

        assert ([f"{NAME} A", f"{NAME} AAAA"], []) == (sorted(asked[0]), asked[1])

    def test_a_closed_port_is_no_definite_answer(self, platform: Installation) -> None:
        """
        A firewall of this network may close port 80 of other servers.
        """
        app = in_service(platform)
        platform.points_to("127.0.0.3")

        watch(platform, app, days=4)

        assert "valid" == status(app).state

    def test_servers_that_disagree_are_no_definite_answer(self, platform: Installation) -> None:
        """
        One of two authoritative servers still has the address of this server.
        """
        second = platform.dns.zone(NAME, {NAME: {"A": [HERE]}}, servers=2)
        app = in_service(platform)
        platform.dns.resolver.rows[NAME] |= {"A": [ELSEWHERE]}
        platform.listen(always(404), ELSEWHERE)
        second.rows[NAME] = {"A": [ELSEWHERE]}

        watch(platform, app, days=4)

        assert "valid" == status(app).state

    @pytest.mark.parametrize(
        "settings",
        [
            {"_APP_DOMAIN_TARGET_A": ""},
            {"CERTWORKER_MOVED_CHECK": "off"},
            {"_APP_DOMAIN": NAME},
            {"_APP_DOMAIN_TARGET_CNAME": NAME},
            {"CERTWORKER_DNS01_NAMES": NAME, **PROVIDER},
        ],
        ids=str,
    )
    def test_the_check_does_not_apply(self, platform: Installation, settings: dict[str, str]) -> None:
        """
        Without a target, if it is off, for the names of the installation and of DNS-01, there is no check.
        """
        platform.settings |= settings
        app = platform.open()

        assert not app.issuance.moved.check_target.applies_to(NAME)

    def test_a_wrong_target_moves_no_name(self, platform: Installation) -> None:
        """
        The address in the settings does not serve the test response, so no name can have moved.
        """
        platform.settings["_APP_DOMAIN_TARGET_A"] = "127.0.0.9"
        app = in_service(platform)
        move(platform)

        watch(platform, app, days=4)

        assert "valid" == status(app).state
