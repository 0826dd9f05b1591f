"""
One line on the terminal for work that takes long: how much is done, what failed, the rate, the time left.

It is written to the standard error, and to a terminal only: a file or a pipe gets the results alone.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

BAR_WIDTH = 20

#: Called with how many are done, those that failed included, how many of them failed, and how many there are.
Update = Callable[[int, int, int], None]


@contextmanager
def progress_line() -> Iterator[Update]:
    """
    Show a line of progress for the length of the block; yield the function that updates it.
    """
    if not sys.stderr.isatty():
        yield lambda *_: None
        return
    # Only here: its import takes longer than most commands.
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, Task
    from rich.text import Text

    class Numbers(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(numbers(int(task.completed), task.fields["failed"], int(task.total or 0), task.speed))

    with Progress(
        BarColumn(BAR_WIDTH), Numbers(), console=Console(stderr=True), transient=True, expand=False
    ) as progress:
        task = progress.add_task("", total=None, failed=0)
        yield lambda done, failed, total: progress.update(task, completed=done, failed=failed, total=total)


def numbers(done: int, failed: int, total: int, rate: float | None = None) -> str:
    """
    Return the progress as text; the *rate* in things a second gives the time left.
    """
    parts = [f"{done:,} of {total:,} done", f"{failed:,} failed"]
    if rate:
        parts += [f"{rate:.1f}/s", f"{_seconds((total - done) / rate)} left"]
    return ", ".join(parts)


def _seconds(seconds: float) -> str:
    hours, rest = divmod(int(seconds + 0.5), 3_600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"
