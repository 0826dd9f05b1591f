"""
Caddy as a CA: its directive `acme_server`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.interop.authorities import ForeignAuthority, program


class Caddy(ForeignAuthority):
    """
    A Caddy whose only site is its ACME server. It fetches responses through the relay.
    """

    title = "Caddy"

    @property
    def directory_url(self) -> str:
        """
        The URL of the ACME directory.
        """
        return f"https://localhost:{self.port}/acme/local/directory"

    def command(self) -> list[str | Path]:
        """
        Write the configuration and return the command.
        """
        storage = self.directory / "storage"
        self.ca_bundle = storage / "pki" / "authorities" / "local" / "root.crt"
        file = self.directory / "Caddyfile"
        file.write_text(
            f"""
{{
    admin off
    auto_https disable_redirects
    default_bind 127.0.0.1
    skip_install_trust
    storage file_system {storage}
}}
https://localhost:{self.port} {{
    tls internal
    acme_server {{
        challenges http-01
    }}
}}
"""
        )
        return [program("caddy"), "run", "--adapter", "caddyfile", "--config", file]

    def environment(self) -> Mapping[str, str]:
        """
        Return the variables that name the relay.
        """
        return {**super().environment(), "HTTP_PROXY": self.relay.url}
