"""
Tests of the commands of the runtime API, with a real HAProxy.
"""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest

from certworker.integrations.haproxy.runtime_api import CommandFailed, RuntimeApi
from tests.integrations.haproxy.conftest import Haproxy
from tests.storage.authority import Signer
from tests.storage.stored import NAME


class TestCommands:
    def test_a_certificate_is_replaced_and_another_one_added(self, haproxy: Haproxy, signer: Signer) -> None:
        """
        The lists show what is loaded, and the state of a certificate has its serial number.
        """
        haproxy.start()
        api, path, new = RuntimeApi(haproxy.socket.path), haproxy.path(NAME), haproxy.path("new.example.com")
        certificate = signer.certificate(NAME)

        assert {path} == api.certificates()
        assert {str(haproxy.list)} == api.lists()
        api.put(path, certificate, is_new=False)
        assert (int(certificate.serial, 16), True) == api.state(path)
        assert (0, False) == api.state(new)
        api.put(new, signer.certificate("new.example.com"), is_new=True)
        assert not api.state(new)[1]
        api.add_to_list(str(haproxy.list), new)
        assert api.state(new)[1]

    def test_a_refused_command_has_its_reason(self, haproxy: Haproxy, signer: Signer) -> None:
        """
        HAProxy's reason is the reason of the failure, on one line.
        """
        haproxy.start()
        api = RuntimeApi(haproxy.socket.path)

        with pytest.raises(CommandFailed, match="not referenced"):
            api.put(haproxy.path("other.example.com"), signer.certificate("x.example.com"), is_new=False)
        with pytest.raises(CommandFailed, match="already exists"):
            api.put(haproxy.path(NAME), signer.certificate(NAME), is_new=True)

    def test_a_lower_level_of_the_socket_is_refused(self, haproxy: Haproxy, signer: Signer) -> None:
        """
        A socket without the level admin permits no change.
        """
        haproxy.start(level="operator")

        with pytest.raises(CommandFailed):
            RuntimeApi(haproxy.socket.path).put(haproxy.path(NAME), signer.certificate(NAME), is_new=False)


class TestHostileValues:
    @pytest.mark.parametrize("path", ["/a b", "/a;show info", "/a\nshow info", "/a <<", "/ä", ""])
    def test_a_path_with_another_meaning_is_not_sent(self, path: str, tmp_path: Path) -> None:
        """
        A path cannot become a second command.
        """
        with pytest.raises(CommandFailed, match="another meaning"):
            RuntimeApi(str(tmp_path / "missing")).add_to_list("/a", path)

    def test_a_certificate_with_other_lines_is_not_sent(self, signer: Signer, tmp_path: Path) -> None:
        """
        An empty line would end the certificate, and the next line would be a command.
        """
        certificate = replace(signer.certificate(NAME), chain_pem=b"\nshutdown frontend https\n")

        with pytest.raises(CommandFailed, match="lines that are not PEM"):
            RuntimeApi(str(tmp_path / "missing")).put("/a", certificate, is_new=True)

    def test_a_certificate_of_many_names_may_be_too_long(self, signer: Signer, tmp_path: Path) -> None:
        """
        HAProxy would close the connection without a reason.
        """
        certificate = signer.certificate(*(f"{'n' * 50}{number}.{'m' * 60}.example" for number in range(99)))
        certificate = replace(certificate, chain_pem=certificate.chain_pem * 10)

        with pytest.raises(CommandFailed, match="more than 16,000"):
            RuntimeApi(str(tmp_path / "missing")).put("/a", certificate, is_new=True)

    @pytest.mark.parametrize("response", [b"", b"\xff\xfe\x00", b"Pid: x\n", b"Serial: zz\nStatus: Used\n"])
    def test_another_program_at_the_socket_is_no_haproxy(self, response: bytes, tmp_path: Path) -> None:
        """
        The response of another program has no process and no certificates.
        """
        path = str(tmp_path / "socket")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()
            Thread(target=respond, args=(listener, response), daemon=True).start()
            api = RuntimeApi(path)

            assert set() == api.certificates()
            assert 0 == api.state("/a")[0]
            with pytest.raises(CommandFailed, match="not from HAProxy"):
                api.process()


def respond(listener: socket.socket, response: bytes) -> None:
    """
    Send *response* to each client.
    """
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        with client:
            client.recv(8192)
            client.sendall(response)
