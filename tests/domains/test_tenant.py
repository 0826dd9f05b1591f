"""
Whose request it is.
"""

from __future__ import annotations

import pytest

from certworker.domains import tenant_of
from certworker.errors.payload import PayloadType


class TestTenantOf:
    @pytest.mark.parametrize(
        ("name", "tenant"),
        [
            ("www.shop.example.org", "example.org"),
            ("shop.co.uk", "shop.co.uk"),
            ("a.b.localhost", "b.localhost"),
            ("203.0.113.7", "203.0.113.7"),
        ],
    )
    def test_it_is_the_registered_domain_unless_the_job_says_more(self, name: str, tenant: str) -> None:
        """
        Most producers know nothing of tenants, and are kept apart all the same.
        """
        assert tenant == tenant_of(None, (name, "other.example.net"))

    def test_the_one_that_the_job_names_counts(self) -> None:
        """
        An Appwrite project has many domains, and is one tenant.
        """
        assert "project-7" == tenant_of("project-7", ("www.example.org",))

    @pytest.mark.parametrize("given", ["", "x" * 254, 7, ["a"], True])
    def test_anything_else_is_refused(self, given: object) -> None:
        """
        It becomes the name of a key in Redis.
        """
        with pytest.raises(PayloadType, match="tenant"):
            tenant_of(given, ("www.example.org",))
