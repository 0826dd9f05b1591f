"""
Record the terminal sessions of the documentation: `make docs-recording`.

The program runs the demo, and each example whose output a page shows.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from tests.recording import RECORDING, record, steady
from tests.servers.redis import RedisServer
from tests.shell_examples import examples, run


def main() -> None:
    """
    Write the recording of the demo, and the output of each example, if they have changed.
    """
    demo = record()
    if steady(demo) != steady(RECORDING.read_text()):
        RECORDING.write_text(demo)
    with TemporaryDirectory() as directory:
        server = RedisServer(Path(directory))
        server.start()
        try:
            # A replacement changes only the positions after it, so the last example comes first.
            for number, example in enumerate(reversed(examples())):
                if example.output:
                    place = Path(directory) / str(number)
                    place.mkdir()
                    begin, end = example.place
                    text = example.page.read_text()
                    shown = run(example.script, place, server)
                    if steady(shown) != steady(example.output):
                        example.page.write_text(text[:begin] + shown + text[end:])
        finally:
            server.kill()


if __name__ == "__main__":
    main()
