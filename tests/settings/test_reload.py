"""
How the reloads of containers are written.
"""

from __future__ import annotations

import pytest

from certworker.errors.config import InvalidSettings
from certworker.settings import load
from certworker.settings.reload import Reload


class TestReloads:
    def test_each_form_is_read(self) -> None:
        """
        All of them, in one variable.
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
        ],
    )
    def test_anything_else_is_refused(self, given: str) -> None:
        """
        A name becomes a part of a URL, and a signal that ends a server is no reload.
        """
        with pytest.raises(InvalidSettings, match="CERTWORKER_RELOAD must be NAME:SIGNAL"):
            load({"CERTWORKER_RELOAD": given})

    @pytest.mark.parametrize("text", ["nginx:HUP", "mail:restart", "app:exec:reload 'a b'"])
    def test_it_is_shown_as_it_is_written(self, text: str) -> None:
        """
        So that the line of the log leads to the setting.
        """
        assert text == str(Reload.parse(text))


class TestLabels:
    def test_they_are_read_only_if_the_setting_is_true(self) -> None:
        """
        A list shows more of other containers than a reload by name does.
        """
        assert not load({"CERTWORKER_RELOAD": "nginx:HUP"}).docker_labels
        assert load({"CERTWORKER_DOCKER_LABELS": "true"}).docker_labels


class TestEngine:
    @pytest.mark.parametrize("given", ["ssh://host", "/var/run/docker.sock", "tcp://"])
    def test_an_address_of_another_kind_is_refused(self, given: str) -> None:
        """
        It would be found out at the first renewal, weeks later.
        """
        with pytest.raises(InvalidSettings, match="CERTWORKER_DOCKER_HOST must be an address"):
            load({"CERTWORKER_DOCKER_HOST": given})
