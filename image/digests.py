"""
Pins images by digest: `python image/digests.py [IMAGE:TAG ...] FILE ...`.

Each reference `IMAGE:TAG@sha256:…` in the files gets the digest that its tag has now at Docker Hub. A
reference on the command line, such as `redis:8.10.2`, first replaces the tag of that image in all files.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from http.client import HTTPException
from pathlib import Path
from urllib.request import Request, urlopen

REGISTRY = "https://registry-1.docker.io"
TOKENS = "https://auth.docker.io/token?service=registry.docker.io"

#: An index has an image for each processor architecture. Without these types, the registry would return the
#: image for one of them.
INDEX = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
PINNED = re.compile(r"(?P<image>[a-z0-9./-]+):(?P<tag>[\w.-]+)@(?P<digest>sha256:[0-9a-f]{64})")
PATIENCE_SECONDS = 30


def digest_of(image: str, tag: str, registry: str = REGISTRY, tokens: str = TOKENS) -> str:
    """
    Return the digest of *image* with *tag*, as `sha256:…`.

    Raises:
        OSError: The registry does not respond, or does not know the image.
        ValueError: The response of the registry has no digest.
    """
    repository = image if "/" in image else f"library/{image}"
    asked = f"{tokens}&scope=repository:{repository}:pull"
    with urlopen(asked, timeout=PATIENCE_SECONDS) as answer:
        token = json.load(answer)["token"]
    headers = {"Accept": ", ".join(INDEX), "Authorization": f"Bearer {token}"}
    url = f"{registry}/v2/{repository}/manifests/{tag}"
    with urlopen(Request(url, headers=headers, method="HEAD"), timeout=PATIENCE_SECONDS) as answer:
        digest = str(answer.headers["Docker-Content-Digest"])
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
        raise ValueError(f"{image}:{tag} has no digest at {registry}")
    return digest


def raised(text: str, tags: dict[str, str], resolve: Callable[[str, str], str]) -> str:
    """
    Return *text* with the digest that *resolve* returns in each pinned reference.

    Args:
        tags: The new tags by image. The other images retain their tags.
        resolve: Returns the digest of an image and its tag.
    """

    def pinned(found: re.Match[str]) -> str:
        image = found["image"]
        tag = tags.get(image, found["tag"])
        return f"{image}:{tag}@{resolve(image, tag)}"

    return PINNED.sub(pinned, text)


def main(arguments: Iterable[str], resolve: Callable[[str, str], str] = digest_of) -> int:
    """
    Pin the images in the files among *arguments*; return the exit code.
    """
    files: list[Path] = []
    tags: dict[str, str] = {}
    for argument in arguments:
        if (path := Path(argument)).is_file():
            files.append(path)
        else:
            image, _, tag = argument.rpartition(":")
            tags[image] = tag
    texts = [path.read_text() for path in files]
    known = {found["image"] for text in texts for found in PINNED.finditer(text)}
    if unknown := tags.keys() - known:
        return _complain(f"no file has {', '.join(sorted(unknown))}; they have {', '.join(sorted(known))}")
    try:
        new = [raised(text, tags, resolve) for text in texts]
    except (OSError, HTTPException, ValueError, KeyError) as error:
        return _complain(f"nothing is changed: {error}")
    _write(files, texts, new)
    return 0


def _write(files: Sequence[Path], texts: Sequence[str], new: Sequence[str]) -> None:
    for path, before, after in zip(files, texts, new, strict=True):
        if before != after:
            path.write_text(after)
        for found in PINNED.finditer(after):
            print(f"{path.name}: {found[0]}{'' if found[0] in before else ' (changed)'}")


def _complain(reason: str) -> int:
    print(f"digests.py: {reason}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
