"""
The settings of our own questions to DNS: whom to ask, and where custom domains are to point.
"""

from __future__ import annotations

from pydantic import BaseModel, Field

from certworker.settings.parsers import Line, NameServers

#: What Appwrite passes where nothing was set.
UNSET_TARGETS = frozenset({"localhost", "127.0.0.1", "::1"})


class DnsSettings(BaseModel):
    """
    The part of :class:`certworker.settings.Settings` about DNS.

    Targets are not validated here: the check that uses an invalid one reports it, and nothing else stops.
    """

    #: Resolvers, each an address and a port, to begin every question with.
    name_servers: NameServers = Field(
        (("8.8.8.8", 53),),
        validation_alias="_APP_DNS",
        description="addresses separated by commas, for example 8.8.8.8 or 127.0.0.1:5353",
    )
    target_cname: Line | None = Field(
        None,
        validation_alias="_APP_DOMAIN_TARGET_CNAME",
        description="a public name, for example api.example.org",
    )
    #: The same, under the name it had before Appwrite 1.7.
    older_target: Line | None = Field(
        None, validation_alias="_APP_DOMAIN_TARGET", description="a public name, for example api.example.org"
    )
    target_a: Line | None = Field(
        None,
        validation_alias="_APP_DOMAIN_TARGET_A",
        description="the public IPv4 address of this server",
    )
    target_aaaa: Line | None = Field(
        None,
        validation_alias="_APP_DOMAIN_TARGET_AAAA",
        description="the public IPv6 address of this server",
    )
    target_caa: Line | None = Field(
        None,
        validation_alias="_APP_DOMAIN_TARGET_CAA",
        description="the CA that CAA records are to allow, for example letsencrypt.org",
    )

    @property
    def targets(self) -> dict[str, str]:
        """
        The targets that somebody set, by variable.
        """
        given = {
            "_APP_DOMAIN_TARGET_CNAME": self.target_cname,
            "_APP_DOMAIN_TARGET": self.older_target,
            "_APP_DOMAIN_TARGET_A": self.target_a,
            "_APP_DOMAIN_TARGET_AAAA": self.target_aaaa,
            "_APP_DOMAIN_TARGET_CAA": self.target_caa,
        }
        return {
            variable: value.lower().rstrip(".")
            for variable, value in given.items()
            if value and value.lower() not in UNSET_TARGETS
        }
