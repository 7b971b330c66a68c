"""WebSockets by a library of others: a server that echoes, and many clients at once."""
import asyncio, sys, threading, time

try:
    import websockets
except ImportError:  # another python3 than Debian's stands first in the path
    sys.path.append("/usr/lib/python3/dist-packages")
    import websockets

from wire import PATIENCE


class EchoServer:
    """Echoes on a thread of its own; how each connection ended is in .ends, as (code sent to us, time)."""

    def __init__(self):
        self.ends, self.loop, ready = [], asyncio.new_event_loop(), threading.Event()

        async def echo(socket):
            try:
                async for message in socket:
                    await socket.send(message)
            except websockets.ConnectionClosed:
                pass
            self.ends.append((socket.close_code, time.monotonic()))

        async def main():
            self.stopped = asyncio.Event()
            async with websockets.serve(echo, "127.0.0.1", 0, max_size=None, ping_interval=None, close_timeout=2) as server:
                self.port = server.sockets[0].getsockname()[1]
                self.endpoint = "127.0.0.1:%d" % self.port
                ready.set()
                await self.stopped.wait()

        self.thread = threading.Thread(target=lambda: self.loop.run_until_complete(main()), daemon=True)
        self.thread.start()
        assert ready.wait(PATIENCE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.stopped.set)
        self.thread.join(PATIENCE)


def connect(address, path="/", **more):
    return websockets.connect("ws://%s:%d%s" % (*address, path), max_size=None, ping_interval=None, open_timeout=PATIENCE, **more)


class Clients:
    """Many open at once, on a thread of their own; .ends as the server's."""

    def __init__(self, address, count):
        self.address, self.count, self.ends, self.faults = address, count, [], []
        self.loop, self.ready = asyncio.new_event_loop(), threading.Event()
        self.opened = 0
        self.thread = threading.Thread(target=lambda: self.loop.run_until_complete(self._all()), daemon=True)
        self.thread.start()
        assert self.ready.wait(6 * PATIENCE), self.faults

    async def _all(self):
        await asyncio.gather(*(self._one(n) for n in range(self.count)))

    async def _one(self, n):
        try:
            async with connect(self.address) as socket:
                await socket.send("hello %d" % n)
                assert await socket.recv() == "hello %d" % n
                self.opened += 1
                if self.opened == self.count:
                    self.ready.set()
                try:
                    await socket.recv()
                    self.faults.append("a message nobody sent")
                except websockets.ConnectionClosed:
                    pass
                self.ends.append((socket.close_code, time.monotonic()))
        except Exception as fault:
            self.faults.append(repr(fault))
            self.ready.set()

    def join(self, seconds=6 * PATIENCE):
        self.thread.join(seconds)
        assert not self.thread.is_alive(), "%d of %d have ended" % (len(self.ends), self.count)
        assert not self.faults, self.faults[:3]
