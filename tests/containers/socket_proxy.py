"""
A socket proxy: what it is told to allow passes to the engine, the answer to all else is 403.

    python3 socket_proxy.py 'METHOD PATH'…

Each is a regular expression. It runs in a container of its own and needs nothing but Python.
"""

from __future__ import annotations

import asyncio
import re
import sys
from asyncio import StreamReader, StreamWriter

PORT = 2375
SOCKET = "/var/run/docker.sock"

REFUSED = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


async def serve(allowed: list[str]) -> None:
    """
    Serve until somebody ends it.
    """

    async def answer(reader: StreamReader, writer: StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            method, target, *_ = head.split(" ")
            asked = f"{method} {target.partition('?')[0]}"
            if any(re.fullmatch(each, asked) for each in allowed):
                await pass_on(head, reader, writer)
            else:
                writer.write(REFUSED)
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "0.0.0.0", PORT)
    async with server:
        await server.serve_forever()


async def pass_on(head: str, reader: StreamReader, writer: StreamWriter) -> None:
    """
    Pass a request on, and the answer back, until one of both sides has enough.
    """
    from_engine, to_engine = await asyncio.open_unix_connection(SOCKET)
    # A second request on this connection would not be looked at.
    alone = re.sub(r"\r\nConnection: [^\r]*", "", head, flags=re.IGNORECASE)
    to_engine.write(alone.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n").encode())
    both = [asyncio.create_task(pump(reader, to_engine)), asyncio.create_task(pump(from_engine, writer))]
    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    to_engine.close()


async def pump(reader: StreamReader, writer: StreamWriter) -> None:
    """
    Whatever comes in goes out.
    """
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1:]))
