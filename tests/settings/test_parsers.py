"""
How the text of a variable becomes a setting, by itself.
"""

from __future__ import annotations

import os
import ssl
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from certworker.errors.config import InvalidSettings
from certworker.settings import HttpAddress, load, parsers
from tests.storage.authority import Signer

READ = [
    (parsers.Production, "PRODUCTION", True),
    (parsers.CommaList, "a, b", ("a", "b")),
    (parsers.CommaList, ",", ()),
    (parsers.AuthorityNames, "AUTO", ("AUTO",)),
    (parsers.AddressOrOff, "off", None),
    (parsers.AddressOrOff, "[::1]:1", HttpAddress("::1", 1)),
    (parsers.Directory, "/a/b", Path("/a/b")),
    (parsers.DirectoryOrOff, "Off", None),
    (parsers.DirectoryOrOff, "/off", Path("/off")),
    (parsers.HostName, "my_redis.internal", "my_redis.internal"),
    (parsers.HostName, "::1", "::1"),
    (parsers.Port, "1", 1),
    (parsers.Port, "65535", 65535),
    (parsers.Slots, "1", 1),
    (parsers.Slots, "1024", 1024),
    (parsers.Profile, "tls-server.v2", "tls-server.v2"),
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
        [(parsers.AddressOrOff, "[::1]:65536"), (parsers.Slots, "1025"), (parsers.HostName, "a/b")],
    )
    def test_what_lies_beyond_the_edge_is_refused(self, kind: Any, text: str) -> None:
        """
        A value that is cut to fit is a value that nobody set.
        """
        with pytest.raises(ValidationError):
            TypeAdapter(kind).validate_python(text)


class TestPaths:
    @pytest.mark.parametrize("name", ["CERTWORKER_CA_BUNDLE", "CERTWORKER_LIMITS_FILE"])
    def test_a_path_out_of_reach_is_told(self, name: str, unreachable: Path) -> None:
        """
        The file system refuses even the question for it.
        """
        with pytest.raises(InvalidSettings, match=f"{name} must be .*; it cannot be read: Permission denied"):
            load({name: str(unreachable)})

    def test_a_directory_out_of_reach_is_left_to_the_checks_of_the_volumes(self, unreachable: Path) -> None:
        """
        They name its owner and the remedy for that.
        """
        assert unreachable == load({"CERTWORKER_CONFIG_DIR": str(unreachable)}).config_dir

    def test_a_directory_that_is_not_there_yet_is_fine(self, tmp_path: Path) -> None:
        """
        It is made, or the volume is missing, which has a line of its own.
        """
        assert (
            tmp_path / "new" == load({"CERTWORKER_CERTIFICATES_DIR": str(tmp_path / "new")}).certificates_dir
        )

    @pytest.mark.timeout(20)
    def test_a_pipe_is_no_file(self, tmp_path: Path) -> None:
        """
        Reading it would never end.
        """
        os.mkfifo(tmp_path / "pipe")
        given = {"CERTWORKER_CA_BUNDLE": "", "_APP_REDIS_PASS_FILE": "", "CERTWORKER_LIMITS_FILE": ""}
        with pytest.raises(InvalidSettings) as refused:
            load(dict.fromkeys(given, str(tmp_path / "pipe")))

        assert 3 == len(refused.value.findings)


@pytest.fixture
def unreachable(tmp_path: Path) -> Iterator[Path]:
    """
    A file in a directory that this process may not enter; root becomes nobody for a while.
    """
    with tempfile.TemporaryDirectory() as made:
        place = Path(made)
        (place / "file").touch()
        us = os.geteuid()
        if us == 0:
            os.seteuid(65534)
        else:
            place.chmod(0)
        yield place / "file"
        os.seteuid(us)
        place.chmod(0o700)


class TestCaBundle:
    @pytest.fixture
    def pem(self) -> bytes:
        """
        A certificate.
        """
        return Signer().certificate("ca.internal").fullchain_pem

    def test_a_pem_file_is_read(self, tmp_path: Path, pem: bytes) -> None:
        """
        With whatever an editor or openssl wrote around it.
        """
        for content in (
            pem,
            b"\xef\xbb\xbf" + pem,
            b"Subject: CN=a root\n" + pem,
            pem.replace(b"\n", b"\r\n"),
        ):
            (tmp_path / "ca.pem").write_bytes(content)

            assert load({"CERTWORKER_CA_BUNDLE": str(tmp_path / "ca.pem")}).ca_bundle

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda _: b"",
            lambda _: b"rubbish",
            lambda pem: ssl.PEM_cert_to_DER_cert(pem.decode()[: pem.index(b"-----END") + 25]),
            lambda pem: pem.decode().encode("utf-16"),
            lambda pem: pem.replace(b"M", b"*", 3),
            lambda pem: pem + pem.replace(b"M", b"*", 3),
            lambda pem: pem[: len(pem) // 4],
        ],
        ids=["empty", "rubbish", "DER", "UTF-16", "base64", "second", "cut"],
    )
    def test_any_other_form_is_told_with_how_to_convert_it(
        self, tmp_path: Path, pem: bytes, spoil: Callable[[bytes], bytes]
    ) -> None:
        """
        Each is what some program or web site calls a certificate.
        """
        (tmp_path / "ca.pem").write_bytes(spoil(pem))
        with pytest.raises(InvalidSettings, match=r"CERTWORKER_CA_BUNDLE must be .*openssl x509 -inform der"):
            load({"CERTWORKER_CA_BUNDLE": str(tmp_path / "ca.pem")})


class TestMailAddress:
    @pytest.mark.parametrize(
        ("text", "address"),
        [
            ("certworker@localhost", "certworker@localhost"),
            ("first.last+certs@Mail.Example.org", "first.last+certs@mail.example.org"),
            ("bücher@bücher.example", "bücher@xn--bcher-kva.example"),
        ],
    )
    def test_the_domain_is_written_as_in_dns(self, text: str, address: str) -> None:
        """
        Every mail server knows that form; of the part before the @ only some take all letters.
        """
        assert address == load({"_APP_SYSTEM_EMAIL_ADDRESS": text}).mail_sender

    def test_the_contact_has_to_be_one_where_mail_goes_there(self) -> None:
        """
        Without a mail server it is for the CA only, which judges it when it is asked.
        """
        other = {"_APP_SYSTEM_SECURITY_EMAIL_ADDRESS": "a@b.org"}
        contact = {"_APP_EMAIL_CERTIFICATES": "nonsense", **other}
        load(contact)
        with pytest.raises(InvalidSettings, match=r"_APP_EMAIL_CERTIFICATES must be .*_APP_SMTP_HOST is set"):
            load(
                {
                    **contact,
                    "_APP_SMTP_HOST": "smtp.example.org",
                    "_APP_SYSTEM_SECURITY_EMAIL_ADDRESS": "a@b.org",
                }
            )

    def test_it_may_be_several(self) -> None:
        """
        All of them get each mail.
        """
        given = {
            "_APP_SMTP_HOST": "smtp.example.org",
            "_APP_EMAIL_CERTIFICATES": "ops@a.org, dev@bücher.example",
        }

        assert ("ops@a.org", "dev@xn--bcher-kva.example") == load(given).mail_recipients
