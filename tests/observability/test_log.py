"""
The log, for people and for machines.
"""

from __future__ import annotations

import io
import json
import logging
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from string import Formatter
from typing import Any, Literal

import pytest

from certworker.errors import LONGEST_SENTENCE, CertworkerError, catalogue
from certworker.errors.config import InvalidSettings
from certworker.errors.worker import RenewalOverdue
from certworker.notify import message as notice
from certworker.observability import log
from certworker.observability.history import HistoryLogHandler
from certworker.redis.codec import LONGEST_TEXT

logger = logging.getLogger("certworker.issuance.service")
stranger = logging.getLogger("urllib3.connectionpool")

MOMENT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


@pytest.fixture(autouse=True)
def the_logging_of_the_test_run() -> Iterator[None]:
    """
    Give the test run its own logging back.
    """
    root, ours = logging.getLogger(), logging.getLogger("certworker")
    handlers, level, our_level = root.handlers, root.level, ours.level
    yield
    root.handlers, root.level, ours.level = handlers, level, our_level
    logging.captureWarnings(False)
    for each in (root, ours):
        each.setLevel(each.level)


def logging_to(
    form: Literal["human", "json"], level: str = "info", docs_url: str | None = None
) -> io.StringIO:
    """
    Where the log is written from here on.
    """
    stream = io.StringIO()
    log.configure(form, level, stream, docs_url)
    return stream


def longest(kind: type[CertworkerError]) -> CertworkerError:
    """
    Return a failure of *kind*, each of whose values is longer than allowed.
    """
    if kind is InvalidSettings:
        return InvalidSettings(["x" * 500] * 8)
    parts = [
        part
        for template in (kind.message_template, kind.remedy_template)
        for part in Formatter().parse(template)
    ]
    values: dict[str, Any] = {name: "x" * 10_000 for _, name, _, _ in parts if name}
    return kind(**values)


def objects(stream: io.StringIO) -> list[dict[str, Any]]:
    """
    The lines of a log for machines.
    """
    return [json.loads(line) for line in stream.getvalue().splitlines()]


class TestHuman:
    """
    Lines for people.
    """

    def test_a_line_of_a_job_without_a_name_begins_with_the_job(self) -> None:
        """
        A request that has no name that can be trusted is found by the id of its job.
        """
        stream = logging_to("human")
        with log.job("issue-7"):
            logger.warning("certificate not issued: [payload.missing] …", extra={"domain": None})
            logger.info("checked", extra={"domain": "shop.example.org"})
        logger.info("ready")
        first, second, third = stream.getvalue().splitlines()

        assert first.endswith("WARN  job issue-7: certificate not issued: [payload.missing] …")
        assert second.endswith("INFO  shop.example.org: checked")
        assert third.endswith("INFO  ready")

    def test_moment_level_name_sentence(self) -> None:
        """
        With the name in front, `grep` finds all that happened to it.
        """
        stream = logging_to("human")
        logger.info("ownership confirmed by the CA after %.1f s", 4.1, extra={"domain": "api.shop.org"})

        expected = rf"{MOMENT} INFO  api\.shop\.org: ownership confirmed by the CA after 4\.1 s\n"
        assert re.fullmatch(expected, stream.getvalue())

    def test_a_line_about_the_worker_has_no_name(self) -> None:
        """
        The first line is `certworker 1.0.0 ready`.
        """
        stream = logging_to("human")
        logger.info("certworker 1.0.0 ready")

        assert stream.getvalue().endswith("Z INFO  certworker 1.0.0 ready\n")

    def test_a_failure_ends_with_code_message_and_remedy(self) -> None:
        """
        One line has the failure, the remedy and the code of docs/reference/errors.
        """
        stream = logging_to("human")
        logger.warning(
            "preflight failed",
            extra={
                "domain": "api.shop.org",
                "code": "http.404",
                "fields": {"message": "Another server answers.", "remedy": "Point it here."},
            },
        )

        assert stream.getvalue().endswith(
            " WARN  api.shop.org: preflight failed [http.404] Another server answers. Point it here. "
            'docs="certworker explain http.404"\n'
        )

    def test_a_site_of_the_documentation_replaces_the_command(self) -> None:
        """
        The URL is the page of the code on that site.
        """
        stream = logging_to("human", docs_url="https://docs.example.org/")
        logger.warning("[http.404] failed", extra={"code": "http.404"})

        assert stream.getvalue().endswith(" docs=https://docs.example.org/reference/errors/http.404/\n")

    def test_a_code_without_a_page_has_no_reference(self) -> None:
        """
        A line never leads to a page that does not exist.
        """
        stream = logging_to("human")
        logger.warning("[http.teapot] failed", extra={"code": "http.teapot"})

        assert "docs=" not in stream.getvalue()

    def test_a_code_in_the_message_is_not_repeated(self) -> None:
        """
        Some messages already contain the code.
        """
        stream = logging_to("human")
        logger.warning("[http.404] not issued", extra={"code": "http.404", "fields": {"remedy": "Point it."}})

        assert stream.getvalue().endswith(' WARN  [http.404] not issued docs="certworker explain http.404"\n')

    @pytest.mark.parametrize(
        "text", ["a\nERROR b.org: forged", "a\r\nb", "\x1b[31mred", "nul\x00", "‮gro", "a\u2028b"]
    )
    def test_a_line_stays_one_line(self, text: str) -> None:
        """
        A name must not be able to start a line of the log, or to control a terminal.
        """
        stream = logging_to("human")
        logger.warning("%s", text, extra={"domain": text})

        assert len(stream.getvalue().splitlines()) == 1
        assert stream.getvalue().rstrip("\n").isprintable()

    def test_long_texts_are_cut(self) -> None:
        """
        A CA's detail may have a megabyte.
        """
        stream = logging_to("human")
        stranger.warning("x" * 1_000_000)
        strange = stream.getvalue()
        logger.warning("x" * 1_000_000)
        own = stream.getvalue().removeprefix(strange)

        assert len(strange) < 600
        assert len(own) < LONGEST_SENTENCE + 100
        assert strange.endswith("…\n")
        assert own.endswith("…\n")

    def test_the_text_of_an_unexpected_error_is_cut(self) -> None:
        """
        The library that raises it may quote a megabyte.
        """
        stream = logging_to("human")
        logger.error("failed", exc_info=ValueError("x" * 1_000_000))

        assert len(stream.getvalue().splitlines()[0]) < 600

    @pytest.mark.parametrize(
        ("level", "word"), [(logging.WARNING, "WARN "), (logging.ERROR, "ERROR"), (logging.CRITICAL, "FATAL")]
    )
    def test_levels_have_one_width(self, level: int, word: str) -> None:
        """
        Names below each other are read at a glance.
        """
        stream = logging_to("human")
        logger.log(level, "x", extra={"domain": "a.org"})

        assert f"Z {word} a.org: x" in stream.getvalue()


class TestRemedies:
    """
    Each failure with the longest values that it can have.
    """

    @pytest.mark.parametrize("kind", catalogue(), ids=lambda kind: kind.code)
    def test_a_remedy_is_whole(self, kind: type[CertworkerError]) -> None:
        """
        For people and for machines, and in the history of the name.
        """
        failure = longest(kind)
        result: list[str] = []
        narrator = HistoryLogHandler(lambda _name, _moment, _level, text: result.append(text))
        logger.addHandler(narrator)
        human = logging_to("human")
        for_people = ("certificate not issued: [%s] %s %s", failure.code, failure.message, failure.remedy)
        extra = {"domain": "a.org", "code": failure.code, "fields": failure.as_json()}
        logger.warning(*for_people, extra=extra)
        machine = logging_to("json")
        logger.warning(*for_people, extra=extra)
        logger.removeHandler(narrator)
        (found,) = objects(machine)

        assert human.getvalue().endswith(f' {failure.remedy} docs="certworker explain {failure.code}"\n')
        assert [failure.message, failure.remedy] == [found["message"], found["remedy"]]
        assert result[0].endswith(f" {failure.remedy}")
        assert len(result[0]) < LONGEST_SENTENCE
        assert max(len(failure.message), len(failure.remedy)) <= notice.LONGEST_TEXT <= LONGEST_TEXT

    def test_the_remedy_of_another_failure_is_whole(self) -> None:
        """
        A renewal that never succeeds names the last remedy.
        """
        remedies = [longest(kind).remedy for kind in catalogue() if kind is not RenewalOverdue]

        assert all(
            RenewalOverdue(name="a.org", ends="ends", history="x", remedy=remedy).remedy.endswith(remedy)
            for remedy in remedies
        )


class TestUnexpected:
    """
    Unexpected errors.
    """

    def fail(self) -> None:
        """
        Log one.
        """
        try:
            dict[str, str]()["key"]
        except KeyError:
            logger.exception("the job ended", extra={"domain": "a.org"})

    @pytest.mark.parametrize("level", ["debug", "info", "error"])
    def test_the_line_has_type_and_place_and_the_traceback_follows(self, level: str) -> None:
        """
        Without a traceback a report is useless, and a higher log level comes too late.
        """
        stream = logging_to("human", level)
        self.fail()
        first, *others = stream.getvalue().splitlines()

        assert re.fullmatch(
            rf"{MOMENT} ERROR a\.org: the job ended \(KeyError at test_log\.py:\d+: 'key'\)", first
        )
        assert all(re.match(rf"{MOMENT} ERROR a\.org: ", line) for line in others)
        assert any("in fail" in line for line in others)
        assert others[-1].endswith("KeyError: 'key'")

    @pytest.mark.parametrize("level", ["debug", "info", "error"])
    def test_for_machines_the_trace_is_a_field(self, level: str) -> None:
        """
        One object is one line at every level.
        """
        stream = logging_to("json", level)
        self.fail()
        (said,) = objects(stream)

        assert said["message"].startswith("the job ended (KeyError at ")
        assert said["trace"][-1] == "KeyError: 'key'"

    def test_a_chain_of_hundreds_keeps_its_two_ends(self) -> None:
        """
        The log shows where a long traceback begins and what raised it, in a bounded number of lines.
        """

        def chained(depth: int) -> None:
            try:
                if depth:
                    chained(depth - 1)
            finally:
                raise ValueError(f"number {depth}")

        stream = logging_to("human")
        try:
            chained(150)
        except ValueError:
            logger.exception("the job ended")
        lines = stream.getvalue().splitlines()

        assert len(lines) <= log.MOST_TRACE_LINES + 2
        assert "lines left out" in stream.getvalue()
        assert lines[-1].endswith("ValueError: number 150")

    @pytest.mark.parametrize("form", ["human", "json"])
    def test_an_exception_without_a_text_is_logged_all_the_same(self, form: Literal["human", "json"]) -> None:
        """
        The `__str__` of another library's exception may raise.
        """

        class Mute(Exception):
            def __str__(self) -> str:
                raise RuntimeError("no")

        stream = logging_to(form)
        logger.error("the job ended", exc_info=Mute())

        assert "(Mute: no text)" in stream.getvalue()

    def test_a_traceback_cannot_forge_lines(self) -> None:
        """
        The text of an exception may come from a CA or a job.
        """
        stream = logging_to("human")
        forged = ValueError("x\r2026-11-23T10:15:09Z INFO  a.org: certificate issued\x1b[2J")
        logger.error("the job ended", exc_info=forged)

        assert "\x1b" not in stream.getvalue()
        assert all(re.match(rf"{MOMENT} ERROR ", line) for line in stream.getvalue().splitlines())


class TestJson:
    """
    Lines for machines.
    """

    def test_the_fixed_fields_come_in_their_order(self) -> None:
        """
        Searches and alerts are written once, against these names.
        """
        stream = logging_to("json")
        fields = {
            "cert_days_left": 12,
            "problem": {"type": "urn:x", "detail": "line\nbreak", "status": 400},
            "next_attempt": datetime(2026, 11, 23, 10, 25, 31, tzinfo=UTC),
            "remedy": "Open port 80.",
            "message": "Nothing answered.",
            "attempt": 2,
            "stage": "challenge",
        }
        with log.job("8f3c"):
            logger.error(
                "not issued",
                extra={"domain": "a.org", "event": "failed", "code": "http.timeout", "fields": fields},
            )
        (said,) = objects(stream)

        assert tuple(said) == (*log.FIXED_FIELDS, "cert_days_left")
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", said.pop("ts"))
        assert said == {
            "level": "error",
            "event": "failed",
            "code": "http.timeout",
            "docs": "certworker explain http.timeout",
            "stage": "challenge",
            "domain": "a.org",
            "job": "8f3c",
            "attempt": 2,
            "message": "Nothing answered.",
            "remedy": "Open port 80.",
            "next_attempt": "2026-11-23T10:25:31Z",
            "problem": {"type": "urn:x", "detail": "line\\nbreak", "status": 400},
            "cert_days_left": 12,
        }

    def test_what_is_unknown_is_left_out(self) -> None:
        """
        An empty field would be confusing.
        """
        stream = logging_to("json")
        logger.info("ready", extra={"domain": None, "fields": {"next_attempt": None}})

        assert set(objects(stream)[0]) == {"ts", "level", "message"}

    def test_no_field_can_take_the_place_of_the_level(self) -> None:
        """
        Values come from a CA; an error must not be hidden as information.
        """
        stream = logging_to("json")
        logger.error("x", extra={"fields": {"level": "info", "ts": "never"}})

        assert objects(stream)[0]["level"] == "error"
        assert objects(stream)[0]["ts"] != "never"

    def test_a_job_ends_with_its_block(self) -> None:
        """
        The thread takes up another job next.
        """
        stream = logging_to("json")
        with log.job("outer"), log.job("inner"):
            logger.info("x")
        logger.info("y")

        assert [said.get("job") for said in objects(stream)] == ["inner", None]

    def test_a_value_of_any_kind_is_written(self) -> None:
        """
        A log that fails hides its messages.
        """
        stream = logging_to("json")
        fields = {"names": ("a.org", "b.org"), "served": True, "odd": object, "lone": "\ud800", "none": None}
        logger.info("x", extra={"fields": fields})
        (said,) = objects(stream)

        assert said["names"] == ["a.org", "b.org"]
        assert said["served"] is True
        assert said["lone"] == "\\ud800"


class TestOthers:
    """
    What libraries log.
    """

    def test_only_warnings_of_libraries_are_logged_in_the_same_format(self) -> None:
        """
        At DEBUG the libraries would log keys, nonces and whole requests.
        """
        stream = logging_to("human", "debug")
        stranger.info("Starting new HTTPS connection")
        stranger.warning("Retrying\nsoon")

        assert re.fullmatch(rf"{MOMENT} WARN  urllib3: Retrying\\nsoon\n", stream.getvalue())

    def test_machines_learn_whose_line_it_is(self) -> None:
        """
        An operator reads there what it means.
        """
        stream = logging_to("json")
        stranger.warning("Retrying")

        assert objects(stream)[0]["logger"] == "urllib3.connectionpool"

    def test_the_http_server_does_not_log_the_length_of_its_queue(self) -> None:
        """
        A flood of requests would cause thousands of lines a second.
        """
        stream = logging_to("human")
        logging.getLogger("waitress.queue").warning("Task queue depth is 12")

        assert stream.getvalue() == ""

    def test_the_level_of_the_settings_applies_to_certworker(self) -> None:
        """
        `CERTWORKER_LOG_LEVEL=error` wants silence from all.
        """
        stream = logging_to("human", "error")
        logger.warning("x")
        stranger.warning("y")

        assert stream.getvalue() == ""


class TestColour:
    """
    Colour for terminals only.
    """

    @pytest.fixture
    def terminal(self) -> Iterator[tuple[int, io.TextIOWrapper]]:
        """
        A real terminal: what is read from the first end was written to the second.
        """
        reader, writer = os.openpty()
        with os.fdopen(writer, "w") as stream:
            yield reader, stream
        os.close(reader)

    def test_a_terminal_gets_it(
        self, terminal: tuple[int, io.TextIOWrapper], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        A warning among many lines is found at once.
        """
        monkeypatch.delenv("NO_COLOR", raising=False)
        reader, stream = terminal
        log.configure("human", "info", stream)
        logger.warning("x")

        assert b"\x1b[33mWARN \x1b[0m" in os.read(reader, 1000)

    def test_no_color_is_respected(
        self, terminal: tuple[int, io.TextIOWrapper], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        https://no-color.org
        """
        monkeypatch.setenv("NO_COLOR", "1")
        reader, stream = terminal
        log.configure("human", "info", stream)
        logger.warning("x")

        assert b"\x1b" not in os.read(reader, 1000)
