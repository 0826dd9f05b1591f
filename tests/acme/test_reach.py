"""
Tests of the addresses that a request to a CA may go to.
"""

from __future__ import annotations

import pytest

from certworker.acme.reach import AllowedHosts, PrivateAddress


@pytest.mark.parametrize(
    ("home", "host", "permitted"),
    [
        ("ca.example", "169.254.169.254", False),
        ("ca.example", "::1", False),
        ("ca.example", "93.184.216.34", True),
        ("ca.example", "inner.example", True),
        ("10.0.0.7", "10.0.0.8", True),
        ("93.184.216.34", "10.0.0.8", False),
    ],
)
def test_behind_a_proxy_a_literal_address_is_checked(home: str, host: str, permitted: bool) -> None:
    """
    The client checks only literal addresses behind a proxy, because the proxy resolves the names.
    """
    if permitted:
        AllowedHosts(home).check_behind_proxy(host)
        return
    with pytest.raises(PrivateAddress):
        AllowedHosts(home).check_behind_proxy(host)
