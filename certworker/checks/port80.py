"""
Port 80 of a name, asked as the CA will ask it (RFC 8555, section 8.3).
"""

from __future__ import annotations

import requests

from certworker.answer import CHALLENGE_PATH, Answer

#: The CA is not more patient, and neither are we.
TIMEOUT_SECONDS = 10
#: A key authorization has some 90 bytes; nothing longer is read.
LARGEST_ANSWER = 1024


def answers(question: Answer, port: int) -> bool:
    """
    Whether ``http://NAME:port`` gives the answer to *question*.

    Any failure on the way means no: this asks whether the door is open yet, not what is wrong with it.
    """
    host = "127.0.0.1" if is_this_machine(question.name) else question.name
    try:
        with requests.get(
            f"http://{host}:{port}{CHALLENGE_PATH}{question.token}",
            headers={"Host": question.name},
            timeout=TIMEOUT_SECONDS,
            stream=True,
        ) as response:
            body = response.raw.read(LARGEST_ANSWER)
    except requests.RequestException:
        return False
    return response.ok and bool(body.strip() == question.key_authorization.encode())


def is_this_machine(name: str) -> bool:
    """
    Whether *name* is the loopback interface by definition (RFC 6761, section 6.3).
    """
    return name == "localhost" or name.endswith(".localhost")
