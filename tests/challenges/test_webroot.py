"""
Tests of the responses in files.
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
    Return the directory of the files of `webroot`.
    """
    return tmp_path / "site" / ".well-known" / "acme-challenge"


def old(path: Path, content: str) -> Path:
    """
    Write a file at *path* that is two minutes old.
    """
    path.write_text(content)
    os.utime(path, (time.time() - 120,) * 2)
    return path


class TestPresent:
    def test_the_file_contains_exactly_the_response(self, webroot: Webroot, challenges: Path) -> None:
        """
        The file contains only the key authorization, because Let's Encrypt refuses a longer body.
        """
        webroot.present(answer_to("token_1-A"))

        assert f"token_1-A.{THUMBPRINT}" == (challenges / "token_1-A").read_text()

    def test_the_web_server_can_read_the_file(self, webroot: Webroot, challenges: Path) -> None:
        """
        Another user can read the file, whatever the umask of the worker is.
        """
        before = os.umask(0o077)
        try:
            webroot.present(answer_to("t"))
        finally:
            os.umask(before)

        assert 0o644 == (challenges / "t").stat().st_mode & 0o777
        assert [0o755, 0o755] == [path.stat().st_mode & 0o777 for path in (challenges, challenges.parent)]

    def test_no_other_file_remains(self, webroot: Webroot, challenges: Path) -> None:
        """
        No incomplete or temporary file remains.
        """
        webroot.present(answer_to("t"))

        assert ["t"] == [path.name for path in challenges.iterdir()]

    def test_a_second_publication_changes_nothing(self, webroot: Webroot, challenges: Path) -> None:
        """
        A second publication of a token changes nothing. A CA may send a token twice.
        """
        webroot.present(answer_to("t"))
        webroot.present(answer_to("t"))

        assert ["t"] == [path.name for path in challenges.iterdir()]

    @pytest.mark.parametrize("token", ["", ".", "..", "../x", "a/b", "a.b", "a\0", "a\n", "x" * 101, "ä"])
    def test_an_invalid_token_is_never_a_path(self, webroot: Webroot, challenges: Path, token: str) -> None:
        """
        An invalid token cannot select another file.
        """
        with pytest.raises(ValueError, match="not a challenge token"):
            webroot.present(answer_to(token))

        assert not challenges.exists() or [] == list(challenges.iterdir())

    def test_a_directory_that_cannot_be_created_is_reported(self, tmp_path: Path) -> None:
        """
        The failure names the volume, not the domain.
        """
        webroot = Webroot(Path("/proc/certworker"), lambda: THUMBPRINT)

        with pytest.raises(Exception, match=r"\[fs\."):
            webroot.present(answer_to("t"))


class TestCleanUp:
    def test_the_file_is_removed(self, webroot: Webroot, challenges: Path) -> None:
        """
        The file is removed after the validation.
        """
        webroot.present(answer_to("t"))
        webroot.clean_up(answer_to("t"))

        assert [] == list(challenges.iterdir())

    def test_a_removed_file_is_no_failure(self, webroot: Webroot) -> None:
        """
        A second removal succeeds. Another worker may have removed the file as a leftover.
        """
        webroot.present(answer_to("t"))
        webroot.clean_up(answer_to("t"))
        webroot.clean_up(answer_to("t"))

    def test_a_missing_directory_is_no_failure(self, webroot: Webroot) -> None:
        """
        A removal succeeds before the directory exists, because the publication may have failed.
        """
        webroot.clean_up(answer_to("t"))


class TestLeftovers:
    def test_own_leftovers_are_removed(self, webroot: Webroot, challenges: Path) -> None:
        """
        The files of a killed worker are removed, but no file of a valid token.
        """
        webroot.present(answer_to("live"))
        old(challenges / "live", f"live.{THUMBPRINT}")
        old(challenges / "dead", f"dead.{THUMBPRINT}")
        old(challenges / ".0a1b", f"dead.{THUMBPRINT}")
        old(challenges / ".certworker-0a1b", "de")

        webroot.remove_leftovers(lambda: {"live"})

        assert ["live"] == [path.name for path in challenges.iterdir()]

    def test_files_of_other_programs_stay(self, webroot: Webroot, challenges: Path, tmp_path: Path) -> None:
        """
        Files of other programs and users of the webroot stay.
        """
        webroot.present(answer_to("t"))
        webroot.clean_up(answer_to("t"))
        secret = old(tmp_path / "secret", f"x.{THUMBPRINT}")
        old(challenges / "foreign", "foreign.AnotherThumbprint")
        old(challenges / "test", "hello")
        (challenges / "directory").mkdir()
        (challenges / "link").symlink_to(secret)

        webroot.remove_leftovers(tuple)

        assert ["directory", "foreign", "link", "test"] == sorted(path.name for path in challenges.iterdir())

    def test_a_new_file_stays(self, webroot: Webroot, challenges: Path) -> None:
        """
        A new file stays, because its order may have started after the tokens were read.
        """
        webroot.present(answer_to("new"))

        webroot.remove_leftovers(tuple)

        assert ["new"] == [path.name for path in challenges.iterdir()]

    def test_a_missing_webroot_has_no_leftovers(self, webroot: Webroot) -> None:
        """
        The removal succeeds before the directory exists, as at the first start.
        """
        webroot.remove_leftovers(tuple)
