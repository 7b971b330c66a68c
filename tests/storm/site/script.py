"""The application as a small HTTP/1.1 server of its own: one thread, keep-alive with a limit that is kept to the
millisecond. For races at the end of a keep-alive.

  script.py PORT SECONDS      SIGTERM ends it when the present requests are answered
"""
import asyncio
import signal
import sys
from urllib.parse import parse_qsl

import deeds


async def serve(reader, writer, limit, running):
    try:
        while True:
            try:
                head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), limit)
            except (asyncio.TimeoutError, asyncio.IncompleteReadError):
                return
            running.add(writer)
            lines = head.decode("latin-1").split("\r\n")
            method, target, _ = lines[0].split(" ")
            fields = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:] if line)}
            body = await reader.readexactly(int(fields.get("content-length", "0")))
            path, _, query = target.partition("?")
            name = fields.get("x-storm-id", "")
            status, answer, _ = deeds.perform(method, path, dict(parse_qsl(query)), name, lambda: body)
            last = fields.get("connection", "").lower() == "close"
            writer.write(b"HTTP/1.1 %d OK\r\nX-Storm-Id: %b\r\nContent-Length: %d\r\n%b\r\n%b" % (
                status, name.encode(), len(answer), b"Connection: close\r\n" if last else b"",
                b"" if method == "HEAD" else answer))
            await writer.drain()
            running.discard(writer)
            if last:
                return
    except OSError:
        pass
    finally:
        running.discard(writer)
        writer.close()


async def main():
    running, ended = set(), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    server = await asyncio.start_server(lambda r, w: serve(r, w, float(sys.argv[2]), running), "127.0.0.1",
                                        int(sys.argv[1]), backlog=2048, limit=1 << 20)
    deeds.up()
    await ended.wait()
    server.close()
    while running:
        await asyncio.sleep(0.01)


asyncio.run(main())
