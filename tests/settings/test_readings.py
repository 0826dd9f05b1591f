"""
How the text of a variable becomes a setting, by itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from certworker.settings import HttpAddress, readings

READ = [
    (readings.Production, "PRODUCTION", True),
    (readings.CommaList, "a, b", ("a", "b")),
    (readings.CommaList, ",", ()),
    (readings.AuthorityNames, "AUTO", ("AUTO",)),
    (readings.AddressOrOff, "off", None),
    (readings.AddressOrOff, "[::1]:1", HttpAddress("::1", 1)),
    (readings.Directory, "/a/b", Path("/a/b")),
    (readings.DirectoryOrOff, "Off", None),
    (readings.DirectoryOrOff, "/off", Path("/off")),
    (readings.HostName, "my_redis.internal", "my_redis.internal"),
    (readings.HostName, "::1", "::1"),
    (readings.Port, "1", 1),
    (readings.Port, "65535", 65535),
    (readings.Slots, "1", 1),
    (readings.Slots, "1024", 1024),
    (readings.Profile, "tls-server.v2", "tls-server.v2"),
]


class TestReadings:
    @pytest.mark.parametrize(("kind", "text", "value"), READ)
    def test_a_text_is_read(self, kind: Any, text: str, value: object) -> None:
        """
        The edge of what each allows.
        """
        assert TypeAdapter(kind).validate_python(text) == value

    @pytest.mark.parametrize(
        ("kind", "text"),
        [(readings.AddressOrOff, "[::1]:65536"), (readings.Slots, "1025"), (readings.HostName, "a/b")],
    )
    def test_what_lies_beyond_the_edge_is_refused(self, kind: Any, text: str) -> None:
        """
        A value that is cut to fit is a value that nobody set.
        """
        with pytest.raises(ValidationError):
            TypeAdapter(kind).validate_python(text)
