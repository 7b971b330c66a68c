"""The ceiling of memory: a small container under thousands of slow uploads, heads and readers neither dies nor stops
answering health; what is too much is ended, the largest and newest first, and counted."""
import collections, os, resource, selectors, socket, time

from cgroup import Cgroup
from harness import SANITIZED, Scenario, Sluice
from wire import Origin, answer, eventually

COUNT = 2000
READERS = 400
CONTAINER = 64 << 20

CONFIG = """
workers: 2
listeners: [ { address: 127.0.0.1:0, timeouts: { body: 60s, header: 60s, send: 60s } } ]
limits: { memory: $memory }
routes:
  - { path: /healthz, respond: { health: live } }
  - { path: /, upstream: app }
upstreams:
  app: { endpoints: [ "$endpoint" ], max_in_flight: 16, hold: { timeout: 60s, requests: 5000, bytes: 1GiB } }
"""


class Crowd:
    """Thousands of connections that one thread serves."""

    def __init__(self, address, count, receive_buffer=None):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.socks = []
        for _ in range(count):
            sock = socket.socket()
            if receive_buffer:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            sock.connect(address)
            sock.setblocking(False)
            self.socks.append(sock)
        self.answers = {}  # what came back, by socket

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for sock in self.socks:
            sock.close()

    def say(self, data):
        """To everybody who still listens; what does not fit is not said."""
        for sock in self.socks:
            try:
                sock.send(data)
            except OSError:
                pass

    def listen(self, enough=lambda answers: False, seconds=0.0):
        """Takes the answers that come, until there are enough or the time is over."""
        with selectors.DefaultSelector() as selector:
            for sock in self.socks:
                if b"" not in self.answers.get(sock, []):
                    selector.register(sock, selectors.EVENT_READ)
            end = time.monotonic() + seconds
            while True:
                left = end - time.monotonic()
                for key, _ in selector.select(max(left, 0)):
                    try:
                        piece = key.fileobj.recv(65536)
                    except OSError:
                        piece = b""
                    self.answers.setdefault(key.fileobj, []).append(piece)
                    if not piece:
                        selector.unregister(key.fileobj)
                if enough(self.answers) or left <= 0:
                    return self.answers


class Memory(Scenario):
    def container(self, origin, group, memory):
        return Sluice(CONFIG, wrap=group.wrap, limits=("nofile", 20000), memory=memory, endpoint=origin.endpoint)

    def still_well(self, sluice, group):
        self.assertEqual([sluice.get("/healthz").status for _ in range(20)], [200] * 20)
        self.assertEqual(sluice.http_metrics("/live").status, 200)
        self.assertEqual(sluice.cli("status")[0], 0)
        self.assertIsNone(sluice.process.poll())
        self.assertEqual(sluice.metric("sluice_restarts_total"), 0)
        self.assertLessEqual(sluice.rss(), CONTAINER * (10 if SANITIZED else 1))
        if group.folder:
            self.assertEqual(group.kills(), 0)

    def limit(self):
        return 16 * CONTAINER if SANITIZED else CONTAINER

    def test_slow_uploads_go_to_disk(self):
        """2 000 at once, each a little at a time, more together than the container has: none is lost."""
        size = 60_000
        with Origin(lambda r: answer(str(len(r.body)))) as origin, Cgroup(self.limit()) as group:
            with self.container(origin, group, "24MiB") as sluice, Crowd(sluice.address, COUNT) as crowd:
                crowd.say(("POST /up HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % size).encode())
                for _ in range(5):
                    crowd.say(b"x" * 10_000)
                    self.assertEqual(sluice.get("/healthz").status, 200)
                eventually(lambda: sluice.metric("sluice_spill_bytes") > 1 << 20, "bodies on disk")
                self.still_well(sluice, group)
                self.assertEqual(sluice.metric("sluice_dropped_total"), 0)
                self.assertEqual(sluice.metric("sluice_http_requests_in_flight"), COUNT)
                crowd.say(b"x" * 10_000)
                ended = lambda answers: sum(b"" in pieces for pieces in answers.values()) == COUNT
                crowd.listen(ended, 60)
                whole = [b"".join(p) for p in crowd.answers.values()]
                drops = [(labels, n) for name, labels, n in sluice.samples() if name == "sluice_dropped_total"]
                self.assertEqual(collections.Counter(text[:12] for text in whole), {b"HTTP/1.1 200": COUNT}, drops)
                self.still_well(sluice, group)

    def test_heads_that_are_not_whole(self):
        """Nothing of them can go to disk: beyond the ceiling they are ended."""
        with Origin(lambda r: answer("fine")) as origin, Cgroup(self.limit()) as group:
            with self.container(origin, group, "24MiB") as sluice, Crowd(sluice.address, COUNT) as crowd:
                crowd.say(b"GET / HTTP/1.1\r\nHost: a\r\nX-A: " + b"a" * 15_000 + b"\r\n")
                crowd.say(b"X-B: " + b"a" * 15_000 + b"\r\n")
                self.still_well(sluice, group)
                shed = eventually(lambda: sluice.metric("sluice_dropped_total", reason="memory"), "requests that were ended")
                self.assertGreater(sluice.metric("sluice_limit_hits_total", limit="memory"), 0)
                self.assertLess(shed, COUNT)
                self.assertLessEqual(sluice.metric("sluice_buffered_bytes"), 32 << 20)
                crowd.listen(lambda answers: len(answers) >= shed, 10)
                told = [b"".join(p) for p in crowd.answers.values()]
                self.assertTrue(all(t.startswith(b"HTTP/1.1 503 ") for t in told if t), told[:3])
                self.assertEqual(sluice.get("/").status, 200)

    def test_of_the_same_size_the_newest_go_first(self):
        with Origin(lambda r: answer("fine")) as origin, Sluice.before(origin, top="limits: { memory: 1MiB }") as sluice:
            head = b"GET / HTTP/1.1\r\nHost: a\r\nX-A: " + b"a" * 10_000  # in a block of 64 KiB
            clients = []
            for n in range(20):
                clients.append(sluice.client())
                clients[-1].send(head)
                eventually(lambda: sluice.metric("sluice_connections", state="active") + sluice.metric("sluice_dropped_total", reason="memory") >= n + 1)
            shed = eventually(lambda: sluice.metric("sluice_dropped_total", reason="memory"), "requests that were ended")
            self.assertWithin(shed, 2, 8)
            for client in clients[:12]:
                client.send(b"\r\n\r\n")
            self.assertEqual([c.response().status for c in clients[:12]], [200] * 12)

    def test_many_small_heads_cost_little(self):
        """2 000 heads that trickle are no reason to end any."""
        with Origin(lambda r: answer("fine")) as origin, Cgroup(self.limit()) as group:
            with self.container(origin, group, "24MiB") as sluice, Crowd(sluice.address, COUNT) as crowd:
                for piece in (b"GET / HTTP/1.1\r\n", b"Host: a\r\n", b"X-A: b\r\n"):
                    crowd.say(piece)
                    self.assertEqual(sluice.get("/healthz").status, 200)
                eventually(lambda: sluice.metric("sluice_connections", state="active") >= COUNT)
                self.still_well(sluice, group)
                self.assertEqual(sluice.metric("sluice_dropped_total"), 0)
                crowd.say(b"\r\n")
                crowd.listen(lambda answers: len(answers) == COUNT, 30)
                self.assertEqual(sum(p[0].startswith(b"HTTP/1.1 200 ") for p in crowd.answers.values()), COUNT)

    def test_readers_that_do_not_read(self):
        """Large answers wait on disk, and little of them with the kernel, whose buffers are the container's memory, too."""
        big = answer(os.urandom(1 << 20))
        with Origin(lambda r: big if r.target == "/big" else answer("fine")) as origin, Cgroup(self.limit()) as group:
            with self.container(origin, group, "8MiB") as sluice, Crowd(sluice.address, READERS, receive_buffer=4096) as crowd:
                crowd.say(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n")
                eventually(lambda: sluice.metric("sluice_spill_bytes") > 1 << 20, "answers on disk")
                eventually(lambda: len(origin.requests) == READERS, "all requests at the application", 60)
                self.still_well(sluice, group)
                eventually(lambda: sluice.metric("sluice_buffered_bytes") <= 10 << 20, "room again")
                self.assertEqual(eventually(lambda: sluice.get("/").status == 200), True)
