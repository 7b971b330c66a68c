"""Everything that grows has a ceiling: each limit with its status, its reason in the log, its metric."""
import time
import unittest

from harness import BINARY, SANITIZED, Scenario, Sluice, Stopwatch
from wire import Client, Origin, answer, chunks, eventually


def fine(request):
    return answer("fine")


class Heads(Scenario):
    def refused(self, sluice, raw, status):
        with sluice.client() as client:
            client.send(raw)
            self.assertEqual(client.response().status, status)
            client.at_end()

    def test_request_line(self):
        with Origin(fine) as origin, Sluice.before(origin, listener="limits: { line: 1KiB }") as sluice:
            self.assertEqual(sluice.get("/" + "a" * 900).status, 200)
            self.refused(sluice, "GET /%s HTTP/1.1\r\nHost: a\r\n\r\n" % ("a" * 2000), 414)
            sluice.await_reason(414)

    def test_header_block(self):
        with Origin(fine) as origin, Sluice.before(origin, listener="limits: { headers: 2KiB }") as sluice:
            self.assertEqual(sluice.get("/", headers={"X-A": "a" * 1500}).status, 200)
            self.refused(sluice, "GET / HTTP/1.1\r\nHost: a\r\nX-A: %s\r\n\r\n" % ("a" * 3000), 431)
            sluice.await_reason(431)

    def test_header_block_that_never_ends(self):
        with Origin(fine) as origin, Sluice.before(origin, listener="limits: { headers: 2KiB }") as sluice:
            self.refused(sluice, "GET / HTTP/1.1\r\nHost: a\r\nX-A: " + "a" * 6000, 431)

    def test_header_count(self):
        with Origin(fine) as origin, Sluice.before(origin, listener="limits: { header_count: 20 }") as sluice:
            self.assertEqual(sluice.get("/", headers=[("X-%d" % n, "1") for n in range(19)]).status, 200)
            self.refused(sluice, "GET / HTTP/1.1\r\nHost: a\r\n%s\r\n" % "".join("X-%d: 1\r\n" % n for n in range(20)), 431)
            sluice.await_reason(431)

    def test_defaults_take_what_an_alb_lets_through(self):
        """Request line 16 K, all headers 64 K (ECS.md B)."""
        with Origin(fine) as origin, Sluice.before(origin) as sluice:
            self.assertEqual(sluice.get("/" + "a" * 16000).status, 200)
            self.assertEqual(sluice.get("/", headers=[("X-%d" % n, "a" * 15000) for n in range(4)]).status, 200)


class BodySize(Scenario):
    def test_declared(self):
        with Origin(fine) as origin, Sluice.before(origin, listener="limits: { body: 1KiB }") as sluice:
            self.assertEqual(sluice.get("/", "POST", body=b"x" * 1024).status, 200)
            self.assertEqual(sluice.get("/", "POST", body=b"x" * 1025).status, 413)
            self.assertEqual(len(origin.requests), 1)
            sluice.await_reason(413)

    def test_chunked(self):
        with Origin(fine) as origin, Sluice.before(origin, listener="limits: { body: 1KiB }") as sluice:
            client = sluice.client()
            client.ask("/", "POST", headers={"Transfer-Encoding": "chunked"})
            client.send(chunks(b"x" * 600, b"x" * 600))
            self.assertEqual(client.response().status, 413)
            self.assertEqual(origin.requests, [])

    def test_a_route_may_differ(self):
        with Origin(fine) as origin, Sluice("""
listeners: [ { address: 127.0.0.1:0, limits: { body: 1KiB } } ]
routes:
  - { path: /upload, upstream: app, body: 10KiB }
  - { path: /, upstream: app }
upstreams: { app: { endpoints: [ $endpoint ] } }
""", endpoint=origin.endpoint) as sluice:
            self.assertEqual(sluice.get("/upload/x", "POST", body=b"x" * 5000).status, 200)
            self.assertEqual(sluice.get("/other", "POST", body=b"x" * 5000).status, 413)


class Times(Scenario):
    def test_nothing_sent_at_all(self):
        with Origin(fine) as origin, Sluice.before(origin, listener="timeouts: { first_byte: 200ms }") as sluice:
            client, watch = sluice.client(), Stopwatch()
            client.is_gone()
            self.assertWithin(watch.seconds, 0.1, 5)

    def test_a_head_that_does_not_end(self):
        with Origin(fine) as origin, Sluice.before(origin, listener="timeouts: { header: 300ms }") as sluice:
            client = sluice.client()
            client.send("GET / HTTP/1.1\r\nHost: a\r\n")
            self.assertEqual(client.response().status, 408)
            client.at_end()
            sluice.await_reason(408)

    def test_slow_headers_do_not_prolong_it(self):
        with Origin(fine) as origin, Sluice.before(origin, listener="timeouts: { header: 400ms }") as sluice:
            client, watch = sluice.client(), Stopwatch()
            client.send("GET / HTTP/1.1\r\nHost: a\r\n")
            while watch.seconds < 3 and client.sock:  # a byte every 50 ms: slowloris
                try:
                    client.send("X")
                except OSError:
                    break
                try:
                    if not client.is_silent(0.05):
                        break
                except AssertionError:
                    break
            self.assertEqual(client.response().status, 408)
            self.assertLess(watch.seconds, 2.5)

    def test_a_body_that_pauses(self):
        with Origin() as origin, Sluice.before(origin, listener="timeouts: { body: 300ms }") as sluice:
            client = sluice.client()
            client.ask("/", "POST", headers={"Content-Length": "10"})
            client.send("half")
            self.assertEqual(client.response().status, 408)
            self.assertTrue(origin.is_left_alone(0.05))
            sluice.await_reason(408)

    def test_idle(self):
        with Origin(fine) as origin, Sluice.before(origin, listener="timeouts: { idle: 300ms, first_byte: 20s }") as sluice:
            client = sluice.client()
            client.get("/")
            watch = Stopwatch()
            client.at_end()  # an orderly end, and no 408 that nobody asked for
            self.assertWithin(watch.seconds, 0.2, 5)

    def test_the_next_request_restarts_idle(self):
        with Origin(fine) as origin, Sluice.before(origin, listener="timeouts: { idle: 500ms }") as sluice:
            client = sluice.client()
            for _ in range(5):
                self.assertEqual(client.get("/").status, 200)
                self.assertTrue(client.is_silent(0.2))

    def test_a_client_that_does_not_read(self):
        big = answer(b"x" * (32 << 20))
        with Origin(lambda r: big) as origin, Sluice.before(origin, listener="timeouts: { send: 300ms }", upstream="buffering: { memory: 64KiB }") as sluice:
            client = sluice.client(receive_buffer=4096)
            client.ask("/")
            entry = sluice.await_log(target="/")
            self.assertTrue(entry["reason"], entry)
            client.is_gone()

    def test_minimum_body_rate(self):
        """Averaged from the tenth second on, so this takes that long."""
        with Origin() as origin, Sluice.before(origin, listener="limits: { body_rate: 10KiB }, timeouts: { body: 30s }") as sluice:
            client, watch = sluice.client(), Stopwatch()
            client.ask("/", "POST", headers={"Content-Length": "100000"})
            while watch.seconds < 25:
                try:
                    client.send("x")
                    if not client.is_silent(0.2):
                        break
                except (OSError, AssertionError):
                    break
            self.assertEqual(client.response().status, 408)
            self.assertWithin(watch.seconds, 8, 16)
            sluice.await_reason(408)


class Connections(Scenario):
    def test_requests_per_connection(self):
        with Origin(fine) as origin, Sluice.before(origin, listener="limits: { requests: 3 }") as sluice:
            client = sluice.client()
            answers = [client.get("/") for _ in range(3)]
            self.assertEqual(["close" in (a.get("connection") or "") for a in answers], [False, False, True])
            client.at_end()

    def test_at_the_ceiling_the_oldest_idle_one_goes(self):
        with Origin(fine) as origin, Sluice.before(origin, listener="limits: { connections: 3 }") as sluice:
            clients = []
            for _ in range(3):
                clients.append(sluice.client())
                clients[-1].get("/")
            eventually(lambda: sluice.metric("sluice_connections", state="idle") == 3, "three idle connections")
            self.assertEqual(sluice.client().get("/").status, 200)
            clients[0].at_end()
            self.assertEqual(clients[1].get("/").status, 200)
            self.assertEqual(clients[2].get("/").status, 200)

    def test_at_the_ceiling_with_none_idle_it_is_503(self):
        with Origin() as origin, Sluice.before(origin, listener="limits: { connections: 2 }") as sluice:
            busy = [sluice.client() for _ in range(2)]
            for client in busy:
                client.ask("/")
            served = [origin.accept() for _ in range(2)]
            response = sluice.client().get("/")  # never a silent refusal
            self.assertEqual(response.status, 503)
            for s in served:
                s.request()
                s.send(answer("still served"))
            self.assertEqual([c.response().body for c in busy], [b"still served"] * 2)

    def test_in_total(self):
        with Origin() as origin, Sluice.before(origin, top="limits: { connections: 2 }") as sluice:
            busy = [sluice.client() for _ in range(2)]
            for client in busy:
                client.ask("/")
            served = [origin.accept() for _ in range(2)]
            self.assertEqual(sluice.client().get("/").status, 503)
            for s in served:
                s.request()
                s.send(answer("done"))
            self.assertEqual([c.response().status for c in busy], [200, 200])
            self.assertEqual(sluice.http_metrics().status, 200)  # metrics are served even then


class Descriptors(Scenario):
    @unittest.skipIf("/asan/" in BINARY, "UBSan opens a pipe to look at an object's type, and without descriptors takes it for a wrong one")
    def test_out_of_descriptors_pauses_accepting_and_nobody_spins(self):
        with Origin(fine) as origin, Sluice.before(origin, limits=("nofile", 64 if not SANITIZED else 80)) as sluice:
            held = []
            for _ in range(100):  # the backlog takes those that sluice cannot
                held.append(Client(sluice.address))
            before, watch = sluice.cpu_seconds(), Stopwatch()
            time.sleep(1)  # a stretch of time is what is measured here
            self.assertLess(sluice.cpu_seconds() - before, 0.3 * watch.seconds)
            self.assertIsNone(sluice.process.poll())
            for client in held:
                client.close()
            self.assertEqual(eventually(lambda: sluice.get("/").status), 200)
