"""
The program that writes the list of certificates for HAProxy.
"""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path

from certworker.storage.certificate_store import CertificateStore
from tests.storage.authority import Signer
from tests.storage.stored import store, write_plain_files
from tests.test_other_servers import program

TOP = Path(__file__).parents[2]

CONFIGURATION = """
global
defaults
    mode http
    timeout client 5s
    timeout server 5s
    timeout connect 5s
frontend https
    bind 127.0.0.1:443 ssl crt-list {list}
    http-request return status 200
"""


def write(volume: Path, crt_list: Path) -> list[str]:
    """
    Write the list of *volume*; return its lines.
    """
    subprocess.run([TOP / "contrib/haproxy/crt-list", volume, crt_list], check=True)
    return crt_list.read_text().splitlines()


class TestList:
    def test_it_has_each_complete_certificate_and_haproxy_reads_it(self, tmp_path: Path) -> None:
        """
        A name without a key, a damaged name and a name with a meaning of its own are left out.
        """
        volume, signer, crt_list = CertificateStore(tmp_path / "volume"), Signer(), tmp_path / "list.txt"
        for name in ("shop.example.com", "*.apps.example.com", "damaged.example.com"):
            store(volume, signer.certificate(name))
        write_plain_files(volume, "without-key.example.com", signer.certificate("without-key.example.com"))
        damaged = volume.current("damaged.example.com")
        assert damaged
        (damaged.directory / "fullchain.pem").write_bytes(b"")
        (volume.directory / "x y [alpn h2]").mkdir()
        (volume.directory / "x y [alpn h2]" / "fullchain.pem").write_bytes(b"x")
        (volume.directory / "x y [alpn h2]" / "fullchain.pem.key").write_bytes(b"x")

        expected = [
            f"{volume.directory}/{name}/fullchain.pem" for name in ("_.apps.example.com", "shop.example.com")
        ]
        assert expected == sorted(write(volume.directory, crt_list))
        (tmp_path / "haproxy.cfg").write_text(CONFIGURATION.format(list=crt_list))
        subprocess.run([program("haproxy"), "-c", "-f", tmp_path / "haproxy.cfg"], check=True)

    def test_the_list_is_replaced_and_readable(self, tmp_path: Path) -> None:
        """
        A reader finds the old list or the new one. No other file is left, and each user can read the list.
        """
        volume, crt_list = CertificateStore(tmp_path / "volume"), tmp_path / "lists" / "list.txt"
        crt_list.parent.mkdir()
        volume.directory.mkdir()

        assert [] == write(volume.directory, crt_list)
        store(volume, Signer().certificate("shop.example.com"))
        assert 1 == len(write(volume.directory, crt_list))
        assert [crt_list] == list(crt_list.parent.iterdir())
        assert 0o644 == stat.S_IMODE(crt_list.stat().st_mode)
