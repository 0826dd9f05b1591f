"""
Suspicious variables in an environment.
"""

from __future__ import annotations

import pytest

from certworker.settings import environment_warnings, variables
from certworker.settings.warnings import MOST_WARNINGS


class TestUnknownVariables:
    @pytest.mark.parametrize(
        ("name", "meant"),
        [
            ("CERTWORKER_AUTHORTY", "CERTWORKER_AUTHORITY"),
            ("CERTWORKER_CONCURENCY", "CERTWORKER_CONCURRENCY"),
            ("certworker_log_level", "CERTWORKER_LOG_LEVEL"),
            ("CERTWORKER_CA_BUNDLE_FILE", "CERTWORKER_CA_BUNDLE"),
        ],
    )
    def test_a_warning_names_the_similar_setting(self, name: str, meant: str) -> None:
        """
        A variable with a typing error has a suggestion, and its value is never shown.
        """
        (warning,) = environment_warnings({name: "correct_horse"})

        assert f"{name} is not a setting and has no effect. Did you mean {meant}?" == str(warning)

    def test_nothing_is_suggested_for_a_name_without_likeness(self) -> None:
        """
        A wrong suggestion is worse than none.
        """
        (warning,) = environment_warnings({"CERTWORKER_XYZZY_PLUGH": "1"})

        assert "CERTWORKER_XYZZY_PLUGH is not a setting and has no effect." == str(warning)

    def test_every_setting_is_known(self) -> None:
        """
        A correct environment has no warning, nor has a variable of another program.
        """
        environ = dict.fromkeys(variables(), "") | {"PATH": "/bin", "_APP_OPENSSL_KEY_V1": "secret"}

        assert [] == environment_warnings(environ)

    def test_variables_of_kubernetes_are_known(self) -> None:
        """
        Each pod beside a service with the name `certworker` has them.
        """
        linked = {
            "CERTWORKER_SERVICE_HOST": "10.0.0.1",
            "CERTWORKER_SERVICE_PORT_HTTP": "8080",
            "CERTWORKER_PORT": "tcp://10.0.0.1:8080",
            "CERTWORKER_PORT_8080_TCP_ADDR": "10.0.0.1",
        }

        assert [] == environment_warnings(linked)
        assert 1 == len(environment_warnings({"CERTWORKER_PORT": "8080"}))

    def test_a_hostile_environment_costs_a_few_lines(self) -> None:
        """
        Names are printable, and the number of warnings is bounded.
        """
        warnings = environment_warnings({f"CERTWORKER_\x1b[2J{number}": "" for number in range(1_000)})

        assert MOST_WARNINGS == len(warnings)
        assert all(str(warning).isprintable() for warning in warnings)


class TestEnvironment:
    @pytest.mark.parametrize(
        ("value", "remedy"),
        [
            ("prod", "Did you mean production?"),
            ("'PROD'", "Did you mean production?"),
            ("productoin", "Did you mean production?"),
            ("dev", "Did you mean development?"),
            ("x", "For trusted certificates set _APP_ENV=production"),
        ],
    )
    def test_a_value_that_is_neither_word_has_a_warning(self, value: str, remedy: str) -> None:
        """
        It selects the development CA, which is never silent.
        """
        (warning,) = environment_warnings({"_APP_ENV": value})

        assert ("_APP_ENV", remedy) == (warning.variable, warning.remedy)
        assert "counts as development" in warning.message

    @pytest.mark.parametrize("value", ["", "production", " Production ", '"development"'])
    def test_both_words_have_none(self, value: str) -> None:
        """
        In any case, with spaces and quotes, as settings are read.
        """
        assert [] == environment_warnings({"_APP_ENV": value})
