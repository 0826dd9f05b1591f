"""
Record the changes to files, and make a chosen change fail.

Each call of the operating system is executed. A trace records each call that changes a file below a
directory. A call that a trace cannot represent is an error, so that the trace is complete.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Verb = Literal["create", "write", "fsync", "rename", "symlink", "mkdir", "unlink", "rmdir", "chmod", "mark"]

#: Calls that change files in a way that a trace cannot represent.
UNKNOWN = (
    "link",
    "truncate",
    "ftruncate",
    "pwrite",
    "writev",
    "pwritev",
    "copy_file_range",
    "sendfile",
    "mknod",
)


@dataclass(frozen=True)
class Effect:
    """
    One change of *path*, which is relative to the recorded directory.
    """

    verb: Verb
    path: str
    #: The written bytes, the new path, or the target of a link.
    detail: bytes | str = b""


class Trace:
    """
    The changes below *root*, in their order.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.effects: list[Effect] = []
        #: Called before each change. It can raise the error of a disk.
        self.before: Callable[[Effect], None] = lambda _effect: None

    def mark(self, name: str) -> None:
        """
        Record that the program has reached the point *name*.
        """
        self.effects.append(Effect("mark", name))

    @contextmanager
    def recording(self) -> Iterator[Trace]:
        """
        Record the changes during a `with` block.
        """
        replaced = {name: getattr(os, name) for name in (*_KNOWN, *UNKNOWN) if hasattr(os, name)}
        for name, call in replaced.items():
            setattr(os, name, self._recorded(name, call))
        try:
            yield self
        finally:
            for name, call in replaced.items():
                setattr(os, name, call)

    def _recorded(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def observed(*arguments: Any, **options: Any) -> Any:
            effect = self._effect(name, *arguments, **options)
            if effect is None:
                return call(*arguments, **options)
            self.before(effect)
            done = call(*arguments, **options)
            if effect.verb == "write" and done != len(effect.detail):
                raise AssertionError("a partial write, which a trace cannot represent")
            self.effects.append(effect)
            return done

        return observed

    def _effect(self, name: str, *arguments: Any, **options: Any) -> Effect | None:
        path = self._inside(arguments[0], options.get("dir_fd"))
        if name == "symlink":
            path = self._inside(arguments[1], options.get("dir_fd"))
        if path is None:
            return None
        if name == "open":
            flags = arguments[1]
            fresh = flags & os.O_CREAT and not os.path.lexists(f"{self.root}/{path}")
            return Effect("create", path) if fresh else None
        if name in ("rename", "replace"):
            target = self._inside(arguments[1])
            assert target is not None, "a rename out of the recorded directory"
            return Effect("rename", path, target)
        if name == "symlink":
            return Effect("symlink", path, os.fspath(arguments[0]))
        if name == "write":
            return Effect("write", path, bytes(arguments[1]))
        if name in UNKNOWN:
            raise AssertionError(f"a trace cannot represent os.{name}")
        return Effect(_KNOWN[name], path)

    def _inside(self, file: Any, directory: int | None = None) -> str | None:
        if isinstance(file, int):
            path = _opened(file)
        elif directory is not None:
            path = _opened(directory) / os.fspath(file)
        else:
            path = Path(file).absolute()
        return str(path.relative_to(self.root)) if self.root in path.parents else None


def _opened(descriptor: int) -> Path:
    return Path(f"/proc/self/fd/{descriptor}").readlink()


_KNOWN: dict[str, Verb] = {
    "open": "create",
    "write": "write",
    "fsync": "fsync",
    "rename": "rename",
    "replace": "rename",
    "symlink": "symlink",
    "mkdir": "mkdir",
    "unlink": "unlink",
    "remove": "unlink",
    "rmdir": "rmdir",
    "chmod": "chmod",
    "fchmod": "chmod",
}


def fault(number: int, code: int) -> Callable[[Effect], None]:
    """
    Return a hook that raises the error *code* from the *number*-th change (from 0) on.

    A full disk still allows removals, renames and changes to the mode.
    """
    seen = 0

    def before(effect: Effect) -> None:
        nonlocal seen
        seen += 1
        harmless = code == errno.ENOSPC and effect.verb in ("unlink", "rmdir", "rename", "chmod")
        if seen > number and not harmless:
            raise OSError(code, os.strerror(code))

    return before
