"""
Hooks of MkDocs: links from a page to files outside of docs lead to the repository.
"""

from __future__ import annotations

import posixpath
import re
from typing import Any

#: A relative link that leaves the directory of its page.
LINK = re.compile(r"\]\(((?:\.\./)+[^)#]*)")


def on_page_markdown(markdown: str, page: Any, config: Any, **_: object) -> str:
    """
    Return *markdown* with an absolute URL for each file that is not a page of the site.
    """
    directory = posixpath.join("docs", posixpath.dirname(page.file.src_uri))

    def resolved(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(directory, link[1]))
        return link[0] if target.startswith("docs/") else f"]({config.extra['repository']}/blob/main/{target}"

    return LINK.sub(resolved, markdown)
