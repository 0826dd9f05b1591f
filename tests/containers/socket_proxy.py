"""
A socket proxy that forwards the allowed requests to the engine, and returns 403 for all others.

    python3 socket_proxy.py 'METHOD PATH'…

Each argument is a regular expression. The proxy runs in a separate container and needs only Python.
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
    Serve until the process ends.
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
    Forward a request and its response until one side closes the connection.
    """
    from_engine, to_engine = await asyncio.open_unix_connection(SOCKET)
    # The proxy would not check a second request on this connection.
    alone = re.sub(r"\r\nConnection: [^\r]*", "", head, flags=re.IGNORECASE)
    to_engine.write(alone.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n").encode())
    both = [asyncio.create_task(pump(reader, to_engine)), asyncio.create_task(pump(from_engine, writer))]
    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    to_engine.close()


async def pump(reader: StreamReader, writer: StreamWriter) -> None:
    """
    Copy all bytes from the reader to the writer.
    """
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1:]))
