"""
Tests of the responses as files.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from certworker.challenges.challenge import Http01Challenge
from certworker.challenges.webroot import Webroot

THUMBPRINT = "i2Ed-XPuG23bvlj7tLJwpPW6iYXE4LmLDe7jkBnPGzc"


def answer_to(token: str) -> Http01Challenge:
    """
    Return the response of the account to *token*.
    """
    return Http01Challenge("api.shop.org", token, f"{token}.{THUMBPRINT}")


@pytest.fixture
def webroot(tmp_path: Path) -> Webroot:
    """
    Return a webroot in a directory that does not exist yet.
    """
    return Webroot(tmp_path / "site", lambda: THUMBPRINT)


@pytest.fixture
def challenges(tmp_path: Path) -> Path:
    """
    Return the directory of its files.
    """
    return tmp_path / "site" / ".well-known" / "acme-challenge"


def old(path: Path, content: str) -> Path:
    """
    Write a file at *path* with a time two minutes ago.
    """
    path.write_text(content)
    os.utime(path, (time.time() - 120,) * 2)
    return path


class TestPresent:
    def test_the_file_contains_exactly_the_response(self, webroot: Webroot, challenges: Path) -> None:
        """
        The file contains only the key authorization: Let's Encrypt refuses a longer body.
        """
        webroot.present(answer_to("token_1-A"))

        assert f"token_1-A.{THUMBPRINT}" == (challenges / "token_1-A").read_text()

    def test_the_web_server_may_read_it(self, webroot: Webroot, challenges: Path) -> None:
        """
        The web server runs as another user, so the umask of the worker has no effect.
        """
        before = os.umask(0o077)
        try:
            webroot.present(answer_to("t"))
        finally:
            os.umask(before)

        assert 0o644 == (challenges / "t").stat().st_mode & 0o777
        assert [0o755, 0o755] == [path.stat().st_mode & 0o777 for path in (challenges, challenges.parent)]

    def test_nothing_else_is_left_there(self, webroot: Webroot, challenges: Path) -> None:
        """
        No incomplete or temporary file stays.
        """
        webroot.present(answer_to("t"))

        assert ["t"] == [path.name for path in challenges.iterdir()]

    def test_again_is_the_same(self, webroot: Webroot, challenges: Path) -> None:
        """
        A CA may send the same token twice, for an authorization that is still pending.
        """
        webroot.present(answer_to("t"))
        webroot.present(answer_to("t"))

        assert ["t"] == [path.name for path in challenges.iterdir()]

    @pytest.mark.parametrize("token", ["", ".", "..", "../x", "a/b", "a.b", "a\0", "a\n", "x" * 101, "ä"])
    def test_what_is_no_token_is_never_a_path(self, webroot: Webroot, challenges: Path, token: str) -> None:
        """
        A token cannot select another file.
        """
        with pytest.raises(ValueError, match="not a challenge token"):
            webroot.present(answer_to(token))

        assert not challenges.exists() or [] == list(challenges.iterdir())

    def test_a_directory_that_cannot_be_made_has_its_failure(self, tmp_path: Path) -> None:
        """
        The failure names the volume, not the domain.
        """
        webroot = Webroot(Path("/proc/certworker"), lambda: THUMBPRINT)

        with pytest.raises(Exception, match=r"\[fs\."):
            webroot.present(answer_to("t"))


class TestCleanUp:
    def test_the_file_is_gone(self, webroot: Webroot, challenges: Path) -> None:
        """
        The file is removed after the validation.
        """
        webroot.present(answer_to("t"))
        webroot.clean_up(answer_to("t"))

        assert [] == list(challenges.iterdir())

    def test_a_file_that_is_gone_already_is_no_fault(self, webroot: Webroot) -> None:
        """
        Another worker may have removed the file as a leftover.
        """
        webroot.present(answer_to("t"))
        webroot.clean_up(answer_to("t"))
        webroot.clean_up(answer_to("t"))

    def test_nor_one_that_was_never_there(self, webroot: Webroot) -> None:
        """
        Publishing may have failed before the directory existed.
        """
        webroot.clean_up(answer_to("t"))


class TestLeftovers:
    def test_own_leftovers_are_removed(self, webroot: Webroot, challenges: Path) -> None:
        """
        The files of a killed worker are removed.
        """
        webroot.present(answer_to("live"))
        old(challenges / "live", f"live.{THUMBPRINT}")
        old(challenges / "dead", f"dead.{THUMBPRINT}")
        old(challenges / ".0a1b", f"dead.{THUMBPRINT}")
        old(challenges / ".certworker-0a1b", "de")

        webroot.remove_leftovers(lambda: {"live"})

        assert ["live"] == [path.name for path in challenges.iterdir()]

    def test_those_of_others_stay(self, webroot: Webroot, challenges: Path, tmp_path: Path) -> None:
        """
        Files of other programs and users of the same webroot stay.
        """
        webroot.present(answer_to("t"))
        webroot.clean_up(answer_to("t"))
        secret = old(tmp_path / "secret", f"x.{THUMBPRINT}")
        old(challenges / "theirs", "theirs.AnotherThumbprint")
        old(challenges / "test", "hello")
        (challenges / "directory").mkdir()
        (challenges / "link").symlink_to(secret)

        webroot.remove_leftovers(tuple)

        assert ["directory", "link", "test", "theirs"] == sorted(path.name for path in challenges.iterdir())

    def test_what_was_written_just_now_stays(self, webroot: Webroot, challenges: Path) -> None:
        """
        A young file may belong to an order that began after the tokens were read.
        """
        webroot.present(answer_to("new"))

        webroot.remove_leftovers(tuple)

        assert ["new"] == [path.name for path in challenges.iterdir()]

    def test_a_webroot_that_is_not_there_has_none(self, webroot: Webroot) -> None:
        """
        Nothing happens at the first start, before the directory exists.
        """
        webroot.remove_leftovers(tuple)
