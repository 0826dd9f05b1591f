"""
Tests of the log, as text and as JSON.
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

from certworker.errors import LONGEST_SENTENCE, CertworkerError, catalog
from certworker.errors.config import InvalidSettings
from certworker.errors.worker import RenewalOverdue
from certworker.notify import message as notice
from certworker.observability import log
from certworker.observability.history import HistoryLogHandler
from certworker.redis.codec import LONGEST_TEXT
from certworker.tracing.steps import in_trace

logger = logging.getLogger("certworker.issuance.service")
library_logger = logging.getLogger("urllib3.connectionpool")

MOMENT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    """
    Restore the logging of the test run after each test.
    """
    root, own = logging.getLogger(), logging.getLogger("certworker")
    handlers, level, our_level = root.handlers, root.level, own.level
    yield
    root.handlers, root.level, own.level = handlers, level, our_level
    logging.captureWarnings(False)
    for each in (root, own):
        each.setLevel(each.level)


def logging_to(
    form: Literal["human", "json"], level: str = "info", docs_url: str | None = None
) -> io.StringIO:
    """
    Configure the log, and return the stream that it writes to.
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
    Return the lines of a JSON log as objects.
    """
    return [json.loads(line) for line in stream.getvalue().splitlines()]


class TestHuman:
    """
    Lines of the text format.
    """

    def test_a_line_of_a_job_without_a_name_begins_with_the_job(self) -> None:
        """
        Without a trusted name, the line begins with the id of the job.
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

    def test_a_line_has_time_level_name_and_text(self) -> None:
        """
        A line has the time, the level, the name and the text, so that `grep` finds a name.
        """
        stream = logging_to("human")
        logger.info("ownership confirmed by the CA after %.1f s", 4.1, extra={"domain": "api.shop.org"})

        expected = rf"{MOMENT} INFO  api\.shop\.org: ownership confirmed by the CA after 4\.1 s\n"
        assert re.fullmatch(expected, stream.getvalue())

    def test_a_line_about_the_worker_has_no_name(self) -> None:
        """
        A line that is not about a name begins with its text.
        """
        stream = logging_to("human")
        logger.info("certworker 1.0.0 ready")

        assert stream.getvalue().endswith("Z INFO  certworker 1.0.0 ready\n")

    def test_a_failure_ends_with_code_message_and_remedy(self) -> None:
        """
        The line of a failure ends with its code, its message, its remedy and its page.
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

    def test_the_url_of_the_documentation_replaces_the_command(self) -> None:
        """
        With the site of the documentation, the line has the URL of the page.
        """
        stream = logging_to("human", docs_url="https://docs.example.org/")
        logger.warning("[http.404] failed", extra={"code": "http.404"})

        assert stream.getvalue().endswith(" docs=https://docs.example.org/reference/errors/http.404/\n")

    def test_a_code_without_a_page_has_no_reference(self) -> None:
        """
        A line with an unknown code has no reference to a page.
        """
        stream = logging_to("human")
        logger.warning("[http.teapot] failed", extra={"code": "http.teapot"})

        assert "docs=" not in stream.getvalue()

    def test_a_code_in_the_message_is_not_repeated(self) -> None:
        """
        The code is not added to a message that already contains it.
        """
        stream = logging_to("human")
        logger.warning("[http.404] not issued", extra={"code": "http.404", "fields": {"remedy": "Point it."}})

        assert stream.getvalue().endswith(' WARN  [http.404] not issued docs="certworker explain http.404"\n')

    @pytest.mark.parametrize(
        "text", ["a\nERROR b.org: forged", "a\r\nb", "\x1b[31mred", "nul\x00", "‮gro", "a\u2028b"]
    )
    def test_a_message_is_one_printable_line(self, text: str) -> None:
        """
        A hostile text cannot start another line or control a terminal.
        """
        stream = logging_to("human")
        logger.warning("%s", text, extra={"domain": text})

        assert len(stream.getvalue().splitlines()) == 1
        assert stream.getvalue().rstrip("\n").isprintable()

    def test_a_long_text_is_truncated(self) -> None:
        """
        A long text, such as the detail of a CA, is truncated.
        """
        stream = logging_to("human")
        library_logger.warning("x" * 1_000_000)
        library_line = stream.getvalue()
        logger.warning("x" * 1_000_000)
        own = stream.getvalue().removeprefix(library_line)

        assert len(library_line) < 600
        assert len(own) < LONGEST_SENTENCE + 100
        assert library_line.endswith("…\n")
        assert own.endswith("…\n")

    def test_the_text_of_an_unexpected_error_is_truncated(self) -> None:
        """
        The text of an unexpected error, which can quote a large value, is truncated.
        """
        stream = logging_to("human")
        logger.error("failed", exc_info=ValueError("x" * 1_000_000))

        assert len(stream.getvalue().splitlines()[0]) < 600

    @pytest.mark.parametrize(
        ("level", "word"), [(logging.WARNING, "WARN "), (logging.ERROR, "ERROR"), (logging.CRITICAL, "FATAL")]
    )
    def test_levels_have_the_same_width(self, level: int, word: str) -> None:
        """
        Each level has five characters, so that the names are aligned.
        """
        stream = logging_to("human")
        logger.log(level, "x", extra={"domain": "a.org"})

        assert f"Z {word} a.org: x" in stream.getvalue()


class TestRemedies:
    """
    Remedies of failures with the longest values that they can have.
    """

    @pytest.mark.parametrize("form", ["human", "json"])
    def test_each_remedy_is_complete(self, form: Literal["human", "json"]) -> None:
        """
        The remedy of each failure is complete in both formats, and in the history of the name.
        """
        failures = [longest(kind) for kind in catalog()]
        history: list[str] = []
        history_handler = HistoryLogHandler(lambda _name, event: history.append(event.text))
        logger.addHandler(history_handler)
        stream = logging_to(form)
        for each in failures:
            extra = {"domain": "a.org", "code": each.code, "fields": each.as_json()}
            message = "certificate not issued: [%s] %s %s"
            logger.warning(message, each.code, each.message, each.remedy, extra=extra)
        logger.removeHandler(history_handler)
        lines = stream.getvalue().splitlines()

        for each, line, event in zip(failures, lines, history, strict=True):
            if form == "human":
                assert line.endswith(f' {each.remedy} docs="certworker explain {each.code}"')
            else:
                found = json.loads(line)
                assert [each.message, each.remedy] == [found["message"], found["remedy"]]
            assert event.endswith(f" {each.remedy}")
            assert len(event) < LONGEST_SENTENCE
            assert max(len(each.message), len(each.remedy)) <= notice.LONGEST_TEXT <= LONGEST_TEXT

    def test_the_remedy_of_the_last_failure_is_complete(self) -> None:
        """
        The failure of an overdue renewal ends with the complete remedy of the last failure.
        """
        remedies = [longest(kind).remedy for kind in catalog() if kind is not RenewalOverdue]

        assert all(
            RenewalOverdue(name="a.org", ends="ends", history="x", remedy=remedy).remedy.endswith(remedy)
            for remedy in remedies
        )


class TestUnexpected:
    """
    Log lines of unexpected errors.
    """

    def fail(self) -> None:
        """
        Log an unexpected error.
        """
        try:
            dict[str, str]()["key"]
        except KeyError:
            logger.exception("the job ended", extra={"domain": "a.org"})

    @pytest.mark.parametrize("level", ["debug", "info", "error"])
    def test_the_line_has_type_and_position_and_the_traceback_follows(self, level: str) -> None:
        """
        The line has the type and the position of the error, and the traceback follows at each level.
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
    def test_in_json_the_traceback_is_a_field(self, level: str) -> None:
        """
        The traceback is a field of the JSON object, at each level.
        """
        stream = logging_to("json", level)
        self.fail()
        (line,) = objects(stream)

        assert line["message"].startswith("the job ended (KeyError at ")
        assert line["trace"][-1] == "KeyError: 'key'"

    def test_a_long_traceback_has_its_two_ends(self) -> None:
        """
        A long traceback is shortened, and has its first and its last lines.
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
    def test_an_exception_without_a_text_is_logged(self, form: Literal["human", "json"]) -> None:
        """
        An exception whose `__str__` raises is logged without a text.
        """

        class Mute(Exception):
            def __str__(self) -> str:
                raise RuntimeError("no")

        stream = logging_to(form)
        logger.error("the job ended", exc_info=Mute())

        assert "(Mute: no text)" in stream.getvalue()

    def test_a_traceback_cannot_forge_lines(self) -> None:
        """
        The text of an exception cannot start another line.
        """
        stream = logging_to("human")
        forged = ValueError("x\r2026-11-23T10:15:09Z INFO  a.org: certificate issued\x1b[2J")
        logger.error("the job ended", exc_info=forged)

        assert "\x1b" not in stream.getvalue()
        assert all(re.match(rf"{MOMENT} ERROR ", line) for line in stream.getvalue().splitlines())


class TestJson:
    """
    Lines of the JSON format.
    """

    def test_the_fixed_fields_are_in_order(self) -> None:
        """
        The fixed fields are in their order, and other fields follow them.
        """
        stream = logging_to("json")
        fields = {
            "cert_days_left": 12,
            "problem": {"type": "urn:x", "detail": "line\nbreak", "status": 400},
            "next_attempt": datetime(2026, 11, 23, 10, 25, 31, tzinfo=UTC),
            "remedy": "Open port 80.",
            "message": "Nothing answered.",
            "attempt": 2,
        }
        with log.job("8f3c"), in_trace("0af7"):
            logger.error(
                "not issued",
                extra={"domain": "a.org", "event": "failed", "code": "http.timeout", "fields": fields},
            )
        (line,) = objects(stream)

        assert tuple(line) == (*log.FIXED_FIELDS, "cert_days_left")
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("ts"))
        assert line == {
            "level": "error",
            "event": "failed",
            "code": "http.timeout",
            "docs": "certworker explain http.timeout",
            "domain": "a.org",
            "job": "8f3c",
            "trace_id": "0af7",
            "attempt": 2,
            "message": "Nothing answered.",
            "remedy": "Open port 80.",
            "next_attempt": "2026-11-23T10:25:31Z",
            "problem": {"type": "urn:x", "detail": "line\\nbreak", "status": 400},
            "cert_days_left": 12,
        }

    def test_an_unknown_field_is_left_out(self) -> None:
        """
        A field without a value is left out.
        """
        stream = logging_to("json")
        logger.info("ready", extra={"domain": None, "fields": {"next_attempt": None}})

        assert set(objects(stream)[0]) == {"ts", "level", "message"}

    def test_no_field_replaces_the_level(self) -> None:
        """
        A field with the name of a fixed one does not replace the level or the time.
        """
        stream = logging_to("json")
        logger.error("x", extra={"fields": {"level": "info", "ts": "never"}})

        assert objects(stream)[0]["level"] == "error"
        assert objects(stream)[0]["ts"] != "never"

    def test_a_job_ends_with_its_block(self) -> None:
        """
        The id of the job is only in the lines of its block.
        """
        stream = logging_to("json")
        with log.job("outer"), log.job("inner"):
            logger.info("x")
        logger.info("y")

        assert [line.get("job") for line in objects(stream)] == ["inner", None]

    def test_a_value_of_any_type_is_written(self) -> None:
        """
        A value of any type is written, so that the line is never lost.
        """
        stream = logging_to("json")
        fields = {"names": ("a.org", "b.org"), "served": True, "odd": object, "lone": "\ud800", "none": None}
        logger.info("x", extra={"fields": fields})
        (line,) = objects(stream)

        assert line["names"] == ["a.org", "b.org"]
        assert line["served"] is True
        assert line["lone"] == "\\ud800"


class TestLibraries:
    """
    Log lines of libraries.
    """

    def test_only_warnings_of_libraries_are_logged_in_the_same_format(self) -> None:
        """
        Libraries log only warnings, in the same format. At DEBUG, they would log keys and nonces.
        """
        stream = logging_to("human", "debug")
        library_logger.info("Starting new HTTPS connection")
        library_logger.warning("Retrying\nsoon")

        assert re.fullmatch(rf"{MOMENT} WARN  urllib3: Retrying\\nsoon\n", stream.getvalue())

    def test_a_line_of_a_library_has_its_logger(self) -> None:
        """
        The JSON object of a library has the name of its logger.
        """
        stream = logging_to("json")
        library_logger.warning("Retrying")

        assert objects(stream)[0]["logger"] == "urllib3.connectionpool"

    def test_the_http_server_does_not_log_the_length_of_its_queue(self) -> None:
        """
        The warnings of the HTTP server about its queue are not logged.
        """
        stream = logging_to("human")
        logging.getLogger("waitress.queue").warning("Task queue depth is 12")

        assert stream.getvalue() == ""

    def test_the_level_of_the_settings_applies_to_certworker(self) -> None:
        """
        The level of the settings applies to certworker and to libraries.
        """
        stream = logging_to("human", "error")
        logger.warning("x")
        library_logger.warning("y")

        assert stream.getvalue() == ""


class TestColor:
    """
    Colors of log lines.
    """

    @pytest.fixture
    def terminal(self) -> Iterator[tuple[int, io.TextIOWrapper]]:
        """
        Yield a real terminal, as the descriptor to read from and the stream to write to.
        """
        reader, writer = os.openpty()
        with os.fdopen(writer, "w") as stream:
            yield reader, stream
        os.close(reader)

    def test_a_terminal_gets_colors(
        self, terminal: tuple[int, io.TextIOWrapper], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        On a terminal, the level of a warning has a color.
        """
        monkeypatch.delenv("NO_COLOR", raising=False)
        reader, stream = terminal
        log.configure("human", "info", stream)
        logger.warning("x")

        assert b"\x1b[33mWARN \x1b[0m" in os.read(reader, 1000)

    def test_no_color_disables_colors(
        self, terminal: tuple[int, io.TextIOWrapper], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        With NO_COLOR, a terminal gets no colors (https://no-color.org).
        """
        monkeypatch.setenv("NO_COLOR", "1")
        reader, stream = terminal
        log.configure("human", "info", stream)
        logger.warning("x")

        assert b"\x1b" not in os.read(reader, 1000)
