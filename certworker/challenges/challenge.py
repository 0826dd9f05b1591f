"""
The answer to one HTTP-01 challenge (RFC 8555, section 8.3), as a value.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

#: Where the CA asks for it, on port 80 of the name.
CHALLENGE_PATH = "/.well-known/acme-challenge/"

#: base64url (RFC 8555, section 8.3). Let's Encrypt's have 43 characters; Appwrite's core serves 100 at most.
TOKEN = re.compile(r"[A-Za-z0-9_-]{1,100}")


@dataclass(frozen=True)
class Http01Challenge:
    """
    What has to stand at *name* while the CA looks.
    """

    name: str
    token: str
    #: TOKEN.THUMBPRINT of the account's key (RFC 8555, section 8.1).
    key_authorization: str
