"""
Tests of the roles.
"""

from __future__ import annotations

import pytest

from certworker.web.access import Access, Role


class TestAccess:
    @pytest.mark.parametrize(
        ("role", "includes"),
        [("read", [True, False, False]), ("operate", [True, True, False]), ("admin", [True, True, True])],
    )
    def test_a_role_includes_the_lower_ones(self, role: Role, includes: list[bool]) -> None:
        """
        Each role includes the roles below it.
        """
        access = Access(role, None, "test")

        assert includes == [access.may("read"), access.may("operate"), access.may("admin")]
