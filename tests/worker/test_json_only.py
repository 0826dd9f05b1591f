"""
Tests of the serializer: no tool of RQ reads a pickle.
"""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import pickle
from rq.job import Job
from rq.serializers import resolve_serializer
from certworker.worker.json_only import forbid_pickles

class Code:
    def __reduce__(self):
        return print, ("the pickle runs code",)

forbid_pickles()
for serializer in (None, "pickle"):
    try:
        resolve_serializer(serializer).loads(pickle.dumps(Code()))
    except ValueError:
        print("refused")
print(resolve_serializer(None).loads(b"[1]"))
"""


class TestForbidPickles:
    def test_the_default_serializer_refuses_a_pickle(self) -> None:
        """
        A pickle is not read, neither by default nor by name. JSON is.
        """
        ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)

        assert ["refused", "refused", "[1]"] == ended.stdout.splitlines(), ended.stderr
