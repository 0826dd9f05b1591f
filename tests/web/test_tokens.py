"""
Tests of the tokens: only the hash of a token is stored, and an invalid file gives no one access.
"""

from __future__ import annotations

import json
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread, current_thread

import pytest

from certworker.errors import CertworkerError
from certworker.web import tokens as module
from certworker.web.tokens import (
    MAX_FILE_BYTES,
    MAX_TOKENS,
    Token,
    TokenFile,
    UnusableTokens,
    digest_of,
    read,
)

NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
DIGEST = "0123456789abcdef" * 4
ENTRY = {"hash": f"sha256:{DIGEST}", "role": "read"}


def token_file(directory: Path, content: object) -> TokenFile:
    """
    Return a file with *content*, as text or as JSON.
    """
    path = directory / "tokens"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return TokenFile(path)


class TestCreate:
    def test_a_created_token_is_found_with_its_role_and_tenant(self, tmp_path: Path) -> None:
        """
        A created token has its role and its tenant, and any other text is wrong.
        """
        tokens = TokenFile(tmp_path / "tokens")
        token = tokens.create("operate", "acme", lambda: NOW)
        found = tokens.find(token)

        assert found is not None
        assert ("operate", "acme", "2026-11-29T12:00:00Z") == (found.role, found.tenant, found.created)
        assert [None] * 4 == [tokens.find(wrong) for wrong in ("", token[:-1], f"{token}a", "\udcff" * 9)]

    def test_the_file_has_the_hash_only_and_belongs_to_its_owner(self, tmp_path: Path) -> None:
        """
        The file contains the hash instead of the token, and only its owner may read it.
        """
        tokens = TokenFile(tmp_path / "tokens")
        token = tokens.create("admin", None, lambda: NOW)

        assert token not in tokens.path.read_text()
        assert digest_of(token) in tokens.path.read_text()
        assert 0o600 == stat.S_IMODE(tokens.path.stat().st_mode)

    def test_tokens_differ_and_are_long(self, tmp_path: Path) -> None:
        """
        Each token is different, and has 256 random bits.
        """
        tokens = TokenFile(tmp_path / "tokens")
        made = {tokens.create("read", None, lambda: NOW) for _ in range(10)}

        assert 10 == len(made) == len(tokens.tokens())
        assert {46} == {len(token) for token in made}

    def test_a_file_with_other_content_is_not_replaced(self, tmp_path: Path) -> None:
        """
        A file that is not a list of tokens is never overwritten.
        """
        tokens = token_file(tmp_path, "important: text")
        tokens.path.write_text("tokens: 1")
        with pytest.raises(UnusableTokens):
            tokens.create("read", None, lambda: NOW)

        assert "tokens: 1" == tokens.path.read_text()

    def test_a_directory_that_is_read_only_is_a_failure(self, forbidden: Path) -> None:
        """
        A token that cannot be stored is a failure with a remedy.
        """
        with pytest.raises(CertworkerError):
            TokenFile(forbidden / "tokens").create("read", None, lambda: NOW)

    def test_the_number_of_tokens_is_limited(self, tmp_path: Path) -> None:
        """
        No token can be added to a file with the maximum number of tokens.
        """
        entries = [
            {"hash": f"sha256:{digest_of(str(number))}", "role": "read"} for number in range(MAX_TOKENS)
        ]
        tokens = token_file(tmp_path, {"tokens": entries})
        with pytest.raises(UnusableTokens, match="more than 5,000"):
            tokens.create("read", None, lambda: NOW)


class TestRevoke:
    def test_a_revoked_token_is_wrong_immediately(self, tmp_path: Path) -> None:
        """
        A revoked token is wrong immediately, also for a process that has the file in memory.
        """
        reader, tokens = TokenFile(tmp_path / "tokens"), TokenFile(tmp_path / "tokens")
        token, other = (tokens.create("read", None, lambda: NOW) for _ in range(2))
        found = reader.find(token)
        assert found is not None

        assert tokens.revoke(found.id)
        assert reader.find(token) is None
        assert reader.find(other) is not None
        assert reader.with_id(found.id) is None
        assert not tokens.revoke(found.id)

    def test_the_last_token_leaves_no_file(self, tmp_path: Path) -> None:
        """
        The file disappears with its last token, and an unknown token changes nothing.
        """
        tokens = token_file(tmp_path, [ENTRY])

        assert not tokens.revoke("0" * 12)
        assert not tokens.is_missing()
        assert tokens.revoke(DIGEST[:12])
        assert tokens.is_missing()

    def test_the_fields_of_other_tokens_remain(self, tmp_path: Path) -> None:
        """
        A change of the file keeps the fields that people add to a token.
        """
        tokens = token_file(tmp_path, [{**ENTRY, "note": "Grafana"}])
        tokens.create("read", None, lambda: NOW)

        assert "Grafana" in tokens.path.read_text()


class TestSeveralWriters:
    def test_no_writer_loses_the_token_of_another(self, tmp_path: Path) -> None:
        """
        Commands that run at the same time add all of their tokens, and restore no revoked one.
        """
        path = tmp_path / "tokens"
        with ThreadPoolExecutor(8) as pool:
            made = list(pool.map(lambda _: TokenFile(path).create("read", None, lambda: NOW), range(24)))
        ids = [digest_of(token)[:12] for token in made]
        assert set(ids) == {each.id for each in TokenFile(path).tokens()}

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(lambda token_id: TokenFile(path).revoke(token_id), ids[:23]))
        assert ids[23:] == [each.id for each in TokenFile(path).tokens()]

    def test_a_slow_thread_restores_no_revoked_token(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        A thread that has read the old file, and stores it late, does not make a revoked token valid again.
        """
        old_read, revoked, stored = Event(), Event(), Event()
        slow: list[Thread] = []

        def read_slowly(path: Path) -> tuple[Token, ...]:
            found = read(path)
            if current_thread() in slow:
                old_read.set()
                assert revoked.wait(30)
            return found

        class Interrupted(TokenFile):
            def __setattr__(self, name: str, value: object) -> None:
                super().__setattr__(name, value)
                # The slow thread runs between two assignments of the other thread.
                if old_read.is_set() and current_thread() not in slow and not stored.is_set():
                    revoked.set()
                    slow[0].join(30)
                    stored.set()

        monkeypatch.setattr(module, "read", read_slowly)
        token = TokenFile(tmp_path / "tokens").create("admin", None, lambda: NOW)
        TokenFile(tmp_path / "tokens").create("read", None, lambda: NOW)
        reader = Interrupted(tmp_path / "tokens")
        slow.append(Thread(target=reader.tokens))
        slow[0].start()
        assert old_read.wait(30)
        TokenFile(tmp_path / "tokens").revoke(digest_of(token)[:12])
        reader.tokens()
        assert stored.is_set()

        assert reader.find(token) is None


class TestFile:
    @pytest.mark.parametrize(
        "content",
        [
            {"tokens": [ENTRY]},
            [ENTRY],
            f"tokens:\n- hash: sha256:{DIGEST}\n  role: read\n",
            f"- {{hash: 'sha256:{DIGEST}', role: read}}",
        ],
    )
    def test_the_file_is_json_or_yaml(self, tmp_path: Path, content: object) -> None:
        """
        The file is a list of tokens, or a mapping with that list, in JSON or YAML.
        """
        tokens = token_file(tmp_path, content)

        assert [("read", None)] == [(each.role, each.tenant) for each in tokens.tokens()]
        assert tokens.with_id(DIGEST[:12]) is not None

    @pytest.mark.parametrize("content", ["", "tokens:", "{}", "[]"])
    def test_an_empty_file_has_no_tokens(self, tmp_path: Path, content: str) -> None:
        """
        A file without entries has no tokens, but it exists.
        """
        tokens = token_file(tmp_path, content)

        assert () == tokens.tokens()
        assert not tokens.is_missing()

    @pytest.mark.parametrize(
        "content",
        [
            "tokens: 5",
            "a text",
            "{",
            "[" * 5000,
            '{"a":' * 5000,
            "!!python/object/apply:os.system [ls]",
            "\x00",
            "a: &a [*a]",
            f"- {{hash: &hash 'sha256:{DIGEST}', role: read, created: *hash}}",
            "x" * (MAX_FILE_BYTES + 1),
            {"tokens": [ENTRY] * (MAX_TOKENS + 1)},
        ],
    )
    def test_an_unusable_file_has_no_tokens(
        self, tmp_path: Path, content: object, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        A file that is not a list of tokens gives no one access, and the log has the reason once.
        """
        tokens = token_file(tmp_path, content)

        assert () == tokens.tokens() == tokens.tokens()
        assert caplog.text.count("no token in") == 1

    def test_a_file_that_is_not_utf_8_has_no_tokens(self, tmp_path: Path) -> None:
        """
        A file that is not UTF-8 gives no one access.
        """
        (tmp_path / "tokens").write_bytes(b"\xff\xfe{}")

        assert () == TokenFile(tmp_path / "tokens").tokens()

    @pytest.mark.parametrize(
        "wrong",
        [
            5,
            {},
            {**ENTRY, "hash": DIGEST},
            {**ENTRY, "hash": f"sha256:{DIGEST}\n"},
            {**ENTRY, "hash": [DIGEST]},
            {**ENTRY, "role": "root"},
            {**ENTRY, "role": ["read"]},
            {**ENTRY, "tenant": None},
            {**ENTRY, "tenant": ""},
            {**ENTRY, "tenant": "a b"},
            {**ENTRY, "tenant": 7},
        ],
    )
    def test_an_invalid_entry_is_skipped(
        self, tmp_path: Path, wrong: object, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        An invalid entry is skipped. A token with an invalid tenant is not a token for all tenants.
        """
        good = {"hash": f"sha256:{'f' * 64}", "role": "admin"}
        tokens = token_file(tmp_path, {"tokens": [wrong, good]})
        with pytest.raises(UnusableTokens, match="token 1: "):
            tokens.create("read", None, lambda: NOW)

        assert ["f" * 12] == [each.id for each in tokens.tokens()]
        assert ": 1; token 1: " in caplog.text

    @pytest.mark.parametrize("field", ["hash", "created"])
    def test_a_huge_number_costs_only_itself(self, tmp_path: Path, field: str) -> None:
        """
        A number that Python cannot write as a text does not stop the reading of the other tokens.
        """
        entry = {"hash": f"sha256:{DIGEST}", "role": "read", field: "0x" + "f" * 9000}
        lines = "".join(f"  {name}: {value}\n" for name, value in entry.items())
        tokens = token_file(tmp_path, f"-\n{lines}- {{hash: 'sha256:{'f' * 64}', role: admin}}\n")

        assert "admin" in {each.role for each in tokens.tokens()}

    def test_of_two_entries_with_one_hash_the_first_counts(self, tmp_path: Path) -> None:
        """
        A second entry with the same hash cannot raise the role of a token.
        """
        tokens = token_file(tmp_path, [ENTRY, {**ENTRY, "role": "admin"}])

        assert ["read"] == [each.role for each in tokens.tokens()]
