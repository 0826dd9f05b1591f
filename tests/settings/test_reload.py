"""
Tests of the settings for reloads of containers.
"""

from __future__ import annotations

import pytest

from certworker.errors.config import InvalidSettings
from certworker.settings import load
from certworker.settings.reload import HaproxySocket, Reload


class TestReloads:
    def test_each_form_is_read(self) -> None:
        """
        One variable can have reloads of every form.
        """
        given = "nginx:HUP, haproxy:SIGUSR2,mail:restart,app-1.x_y:exec:reload --file 'a b',nginx:HUP,"

        assert load({"CERTWORKER_RELOAD": given}).reloads == (
            Reload("nginx", "kill", signal="HUP"),
            Reload("haproxy", "kill", signal="USR2"),
            Reload("mail", "restart"),
            Reload("app-1.x_y", "exec", command=("reload", "--file", "a b")),
        )

    @pytest.mark.parametrize(
        "given",
        [
            *("nginx", "nginx:", "nginx:KILL", "nginx:hup", ":HUP", "app:exec", "app:exec:", "app:exec:'"),
            *("../nginx:HUP", "a/b:restart", "a?b:restart", "-a:HUP", "nginx:HUP,mail", "nginx:restart:now"),
            *("haproxy+unix://", "haproxy+unix://run/x", "haproxy+unix:///" + "x" * 107, "haproxy+tcp://x:1"),
        ],
    )
    def test_an_invalid_reload_is_refused(self, given: str) -> None:
        """
        An invalid name, an unknown form and a signal that ends a server are refused.
        """
        with pytest.raises(InvalidSettings, match="CERTWORKER_RELOAD must be NAME:SIGNAL"):
            load({"CERTWORKER_RELOAD": given})

    def test_a_socket_of_haproxy_is_a_target(self) -> None:
        """
        A target is also a socket of HAProxy's runtime API.
        """
        given = "nginx:HUP,haproxy+unix:///run/haproxy.sock"
        found = load({"CERTWORKER_RELOAD": given}).reloads

        assert found == (Reload("nginx", "kill", signal="HUP"), HaproxySocket("/run/haproxy.sock"))
        assert given == ",".join(map(str, found))

    @pytest.mark.parametrize("text", ["nginx:HUP", "mail:restart", "app:exec:reload 'a b'"])
    def test_a_reload_is_shown_as_it_is_written(self, text: str) -> None:
        """
        The text of a reload is its text in the setting, so that a log line identifies it.
        """
        assert text == str(Reload.parse(text))


class TestLabels:
    def test_labels_are_off_by_default(self) -> None:
        """
        Labels are read only if their setting is true, because they need access to all containers.
        """
        assert not load({"CERTWORKER_RELOAD": "nginx:HUP"}).docker_labels
        assert load({"CERTWORKER_DOCKER_LABELS": "true"}).docker_labels


class TestEngine:
    @pytest.mark.parametrize("given", ["ssh://host", "/var/run/docker.sock", "tcp://"])
    def test_an_unsupported_address_is_refused(self, given: str) -> None:
        """
        An unsupported address is refused at the start, not at the first renewal.
        """
        with pytest.raises(InvalidSettings, match="CERTWORKER_DOCKER_HOST must be an address"):
            load({"CERTWORKER_DOCKER_HOST": given})
