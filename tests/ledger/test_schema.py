"""
The version of the ledger.
"""

from __future__ import annotations

import pytest
from redis import Redis

from certworker.errors.machine import SchemaTooNew
from certworker.ledger.schema import KEY, SCHEMA, check_schema


class TestCheckSchema:
    @pytest.mark.parametrize("found", [None, "0", str(SCHEMA), "nonsense"])
    def test_a_ledger_of_ours_or_an_older_one_is_fine(self, connection: Redis, found: str | None) -> None:
        """
        An evicted version is written again; it is no truth, but the other workers look at it.
        """
        if found:
            connection.set(KEY, found)
        check_schema(connection)

        assert str(SCHEMA).encode() == connection.get(KEY)

    def test_a_newer_one_is_refused_with_the_remedy(self, connection: Redis) -> None:
        """
        What an older worker wrote there might be wrong, and nobody would notice.
        """
        connection.set(KEY, SCHEMA + 1)
        with pytest.raises(SchemaTooNew) as caught:
            check_schema(connection)

        assert "ledger.schema" == caught.value.code
        assert caught.value.remedy.endswith("docker compose up -d")
        assert str(SCHEMA + 1).encode() == connection.get(KEY)
