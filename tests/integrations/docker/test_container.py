"""
Tests of containers in lists and events.
"""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import pytest

from certworker.integrations.docker.container import Container, PublishedPort

#: An entry of the list of Docker 26, without unused fields.
ENTRY = {
    "Id": "8dfafdbc3a40" + "0" * 52,
    "Names": ["/shop/link", "/traefik-1"],
    "Image": "traefik:v3.7",
    "Labels": {"com.docker.compose.service": "traefik"},
    "State": "running",
    "Ports": [
        {"PrivatePort": 8080, "Type": "tcp"},
        {"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 80, "Type": "tcp"},
        {"IP": "::", "PrivatePort": 443, "PublicPort": 443, "Type": "udp"},
    ],
    "HostConfig": {"NetworkMode": "shop_default"},
    "Mounts": [
        {"Type": "volume", "Name": "certificates", "Source": "", "Destination": "/storage/certificates"},
        {"Type": "bind", "Source": "/srv/storage", "Destination": "/storage"},
        {"Type": "tmpfs", "Source": "", "Destination": "/tmp"},
    ],
}


class TestListed:
    def test_the_needed_fields_are_read(self) -> None:
        """
        The name is not that of a link, and only published TCP ports count.
        """
        container = Container.listed(ENTRY)

        assert container
        assert ("traefik-1", "traefik:v3.7", "running") == (container.name, container.image, container.state)
        assert {"com.docker.compose.service": "traefik"} == container.labels
        assert (PublishedPort(ip_address("0.0.0.0"), 80),) == container.published
        assert not container.on_host_network

    @pytest.mark.parametrize("empty", [{}, dict.fromkeys(set(ENTRY) - {"Id"})])
    def test_missing_fields_are_empty(self, empty: dict[str, None]) -> None:
        """
        A missing field, or a field with null, is an empty value.
        """
        container = Container.listed({"Id": ENTRY["Id"]} | empty)

        assert container
        assert ("8dfafdbc3a40", {}, ()) == (container.name, container.labels, container.published)

    @pytest.mark.parametrize("odd", [7, "text", {"a": 7}, [7, None, {"a": None}], {"PublicPort": "80"}])
    @pytest.mark.parametrize("member", sorted(set(ENTRY) - {"Id"}))
    def test_a_field_of_another_type_counts_as_missing(self, member: str, odd: object) -> None:
        """
        A field of another type counts as missing.
        """
        container = Container.listed({**ENTRY, member: odd})

        assert container
        assert all(isinstance(text, str) for text in (container.name, container.image, container.state))

    @pytest.mark.parametrize("address", ["hello", "1.2.3", "::1::", "0.0.0.0\n", "1" * 70_000])
    def test_a_port_at_an_invalid_address_is_left_out(self, address: str) -> None:
        """
        A port whose address is invalid is left out, and the other ports remain.
        """
        ports = [
            {"IP": address, "PublicPort": 80, "Type": "tcp"},
            {"PublicPort": 443, "Type": "tcp"},
        ]
        container = Container.listed({"Id": "x", "Ports": ports})

        assert container
        assert [443] == [each.port for each in container.published]

    def test_a_mount_point_in_another_form_is_found(self) -> None:
        """
        A mount point with superfluous slashes is the same directory.
        """
        mounts = [{"Name": "shop", "Destination": "/storage//certificates/"}]
        container = Container.listed({"Id": "x", "Mounts": mounts})

        assert container
        assert "shop/a" == container.mount_source(Path("/storage/certificates/a"))

    @pytest.mark.parametrize("entry", [None, 7, [], {}, {"Id": None}, {"Id": ""}])
    def test_an_entry_without_an_id_is_no_container(self, entry: object) -> None:
        """
        An entry without an id is not a container.
        """
        assert Container.listed(entry) is None

    def test_a_name_is_printable(self) -> None:
        """
        The name is printable, because logs and terminals show it.
        """
        container = Container.listed({**ENTRY, "Names": ["/\x1b[2J"]})

        assert container
        assert container.name.isprintable()

    @pytest.mark.parametrize(
        ("path", "found"),
        [
            ("/storage/certificates", "certificates"),
            ("/storage/certificates/.certworker", "certificates/.certworker"),
            ("/storage/config", "/srv/storage/config"),
            ("/storage", "/srv/storage"),
            ("/tmp", "memory of 8dfafdbc3a40"),
            ("/etc", None),
        ],
    )
    def test_the_innermost_mount_counts(self, path: str, found: str | None) -> None:
        """
        The source of a path is that of its innermost mount. Containers with equal sources share files.
        """
        container = Container.listed(ENTRY)

        assert container
        assert found == container.mount_source(Path(path))


class TestStarted:
    def test_labels_are_read_from_the_event(self) -> None:
        """
        An event contains the labels of its container.
        """
        attributes = {"name": "web", "image": "nginx", "certworker.domains": "shop.example.org"}
        container = Container.started({"Actor": {"ID": "8dfa", "Attributes": attributes}})

        assert container
        assert ("8dfa", "web") == (container.id, container.name)
        assert "shop.example.org" == container.labels["certworker.domains"]

    @pytest.mark.parametrize(
        "event",
        [None, [], {}, {"Actor": None}, {"Actor": {"ID": "1", "Attributes": [1]}}, {"Actor": {"ID": 1}}],
    )
    def test_an_event_without_an_id_and_a_name_is_no_start(self, event: object) -> None:
        """
        An event without an id or a name is not the start of a container.
        """
        assert Container.started(event) is None
