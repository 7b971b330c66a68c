"""A drain loses nothing: strict clients around SIGTERM, listeners that leave, and the deadline."""
import random
import signal
import socket
import threading
import time

from harness import Scenario, Sluice, Stopwatch
from wire import Client, Ended, Origin, answer, eventually

FIXED = "routes: [ { path: /, respond: { body: x } } ]\n"
QUICK = "drain: { min: 100ms, quiet: 100ms, max: 1s, deadline: 6s }\n"


def closes(response):
    return "close" in (response.get("connection") or "").lower()


class Strict(threading.Thread):
    """A keep-alive client as a balancer has it: it asks at random moments, obeys Connection: close, and
    takes a FIN between two requests for what it is. Whatever else happens is a loss."""

    def __init__(self, address, seed, pause, until):
        super().__init__(daemon=True)
        self.address, self.random, self.pause, self.until = address, random.Random(seed), pause, until
        self.served, self.closed_first, self.losses = 0, 0, []

    def run(self):
        client = None
        try:
            while not self.until.is_set():
                try:
                    client = client or Client(self.address)
                except (ConnectionRefusedError, FileNotFoundError, socket.timeout):
                    return  # nobody listens any more: nothing was sent, nothing is lost
                try:
                    response = client.get("/")
                except (AssertionError, OSError) as error:
                    self.losses.append(repr(error))
                    return
                self.served += response.status == 200
                if response.status != 200:
                    self.losses.append(response.status)
                if closes(response):
                    client.close()
                    client = None
                time.sleep(self.random.random() * self.pause)
                if client and self.ended(client):
                    client.close()
                    client = None
        finally:
            if client:
                client.close()

    def ended(self, client):
        client.sock.setblocking(False)
        try:
            self.closed_first += client.sock.recv(1, socket.MSG_PEEK) == b""
            return True
        except BlockingIOError:
            return False
        except ConnectionResetError:
            self.losses.append("reset while idle")
            return True


class Drain(Scenario):
    def test_clients_with_requests_at_random_moments_lose_nothing(self):
        for seed in range(6):
            with self.subTest(seed=seed), Origin(lambda r: answer("x")) as origin, \
                    Sluice.before(origin, top=QUICK + "workers: 2\n") as sluice:
                until = threading.Event()
                clients = [Strict(sluice.address, seed * 100 + n, 0.06, until) for n in range(12)]
                for client in clients:
                    client.start()
                time.sleep(0.1 + 0.03 * seed)
                sluice.signal(signal.SIGTERM)
                self.assertEqual(sluice.wait(), 0, sluice.stderr())
                until.set()
                for client in clients:
                    client.join(20)
                self.assertEqual([c.losses for c in clients if c.losses], [])
                self.assertEqual(sum(c.closed_first for c in clients), 0)  # law 3
                self.assertGreater(sum(c.served for c in clients), 20)
                self.assertIn("not served: none", sluice.stderr())

    def test_an_idle_connection_is_served_as_long_as_the_drain_lasts(self):
        with Sluice(FIXED + QUICK) as sluice:
            idle = [sluice.client() for _ in range(3)]
            for client in idle:
                self.assertEqual(client.get("/").status, 200)
            silent = sluice.client()  # one that has never asked is idle, too
            sluice.signal(signal.SIGTERM)
            eventually(lambda: "drain: finishing" in sluice.stderr())
            for client in idle + [silent]:
                response = client.get("/")
                self.assertEqual((response.status, closes(response)), (200, True))
                client.at_end()
                client.close()
            self.assertEqual(sluice.wait(), 0)

    def test_idle_connections_end_at_the_deadline_and_nothing_is_lost(self):
        with Sluice(FIXED + "drain: { min: 50ms, quiet: 50ms, max: 100ms, deadline: 1s }\n") as sluice:
            client = sluice.client()
            client.get("/")
            watch = Stopwatch()
            sluice.signal(signal.SIGTERM)
            client.at_end()
            self.assertWithin(watch.seconds, 0.9, 4)
            client.close()
            self.assertEqual(sluice.wait(), 0)  # no request was cut
            self.assertIn("not served: none", sluice.stderr())

    def test_what_the_deadline_cuts_is_answered_logged_and_counted(self):
        with Origin() as origin, Sluice.before(
                origin, top="drain: { min: 50ms, quiet: 50ms, max: 100ms, deadline: 1s }\n", expect_exit=1) as sluice:
            waiting, begun, half = sluice.client(), sluice.client(), sluice.client()
            waiting.ask("/waiting")
            origin.accept().request()
            begun.ask("/begun")
            served = origin.accept()
            served.request()
            served.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
            begun.take_until("half")
            half.send("GET /half HTTP/1.1\r\nHo")
            sluice.signal(signal.SIGTERM)
            response = waiting.response()
            self.assertEqual((response.status, closes(response)), (503, True))
            self.assertTrue(response.get("retry-after"))
            self.assertEqual(half.response().status, 503)
            with self.assertRaises(Ended):
                begun.take(6)
            for client in (waiting, begun, half):
                client.close()
            self.assertEqual(sluice.wait(), 1)
            lines = {e["target"]: (e["status"], e["reason"]) for e in sluice.log() if e.get("target")}
            self.assertEqual(lines["/waiting"], (503, "drain_deadline"))
            self.assertEqual(lines["/begun"], (200, "drain_deadline"))
            self.assertIn("not served: 3 (drain_deadline 3)", sluice.stderr())

    def test_a_slow_download_is_finished(self):
        body = b"0123456789abcdef" * (1 << 14)
        with Origin(lambda r: answer(body)) as origin, Sluice.before(origin, top=QUICK) as sluice:
            client = sluice.client(receive_buffer=8192)
            client.ask("/")
            client.take_until("\r\n\r\n")
            sluice.signal(signal.SIGTERM)
            eventually(lambda: "drain: finishing" in sluice.stderr())
            got = bytearray()
            while len(got) < len(body):
                got += client.take(min(1 << 16, len(body) - len(got)))
                time.sleep(0.1)
            self.assertEqual(bytes(got), body)
            client.close()  # its answer began before the drain: nobody has told it to leave
            self.assertEqual(sluice.wait(), 0)
            self.assertIn("served 1 request on 1 connection; not served: none", sluice.stderr())

    def test_a_half_closed_client_gets_its_answer(self):
        with Origin() as origin, Sluice.before(origin, top=QUICK) as sluice:
            client = sluice.client()
            client.ask("/")
            client.finish_sending()
            served = origin.accept()
            served.request()
            sluice.signal(signal.SIGTERM)
            eventually(lambda: "drain: finishing" in sluice.stderr())
            served.send(answer("whole"))
            self.assertEqual(client.response().body, b"whole")
            client.at_end()
            client.close()
            self.assertEqual(sluice.wait(), 0)

    def test_a_queued_request_is_served_or_answered(self):
        with Origin() as origin, Sluice.before(origin, upstream="max_in_flight: 1", top=QUICK) as sluice:
            clients = [sluice.client() for _ in range(2)]
            clients[0].ask("/0")
            served = origin.accept()
            served.request()
            clients[1].ask("/1")
            eventually(lambda: sluice.metric("sluice_upstream_held_requests") == 1)
            sluice.signal(signal.SIGTERM)
            eventually(lambda: "drain: finishing" in sluice.stderr())
            served.send(answer("0"))
            self.assertEqual(served.request().target, "/1")
            served.send(answer("1"))
            self.assertEqual([c.response().body for c in clients], [b"0", b"1"])
            for client in clients:
                client.close()
            self.assertEqual(sluice.wait(), 0)

    def test_health_checks_do_not_hold_the_drain_up(self):
        config = "routes: [ { path: /healthz, respond: { health: ready } }, { path: /, respond: { body: x } } ]\n"
        with Sluice(config + "drain: { min: 100ms, quiet: 500ms, max: 20s, deadline: 25s }\n") as sluice:
            sluice.signal(signal.SIGTERM)
            watch = Stopwatch()
            while sluice.process.poll() is None and watch.seconds < 15:
                try:
                    sluice.get("/healthz")
                except (OSError, AssertionError):
                    break
                time.sleep(0.1)
            self.assertEqual(sluice.wait(), 0)
            self.assertLess(watch.seconds, 10)

    def test_waiting_for_its_end_by_cli(self):
        with Sluice(FIXED + QUICK) as sluice:
            self.assertEqual(sluice.get("/").status, 200)
            code, out, err = sluice.cli("drain", "--wait")
            self.assertEqual((code, out), (0, "served 1 request on 1 connection; not served: none\n"), err)
            self.assertEqual(sluice.wait(), 0)

    def test_waiting_ends_when_the_drain_is_taken_back(self):
        with Sluice(FIXED + "drain: { min: 9s, quiet: 9s, max: 20s, deadline: 25s }\n") as sluice:
            said = []
            waiter = threading.Thread(target=lambda: said.append(sluice.cli("drain", "--wait")))
            waiter.start()
            eventually(lambda: sluice.http_metrics("/ready").status == 503)
            self.assertEqual(sluice.cli("undrain")[0], 0)
            waiter.join(20)
            self.assertEqual(said[0][0], 1)
            self.assertIn("taken back", said[0][2])
            eventually(lambda: sluice.http_metrics("/ready").status == 200)
            sluice.signal(signal.SIGTERM)
            eventually(lambda: sluice.http_metrics("/ready").status == 503)
            sluice.signal(signal.SIGTERM)
            self.assertEqual(sluice.wait(), 0)

    def test_what_is_queued_in_the_kernel_is_served(self):
        """Connections that came while the workers were stopped, and their requests, are not reset."""
        for address in ("127.0.0.1:0", "unix:$dir/a.sock"):
            with self.subTest(address), Sluice("listeners: [ { address: \"%s\" } ]\n" % address + FIXED +
                                               "drain: { min: 0s, quiet: 0s, max: 0s, deadline: 6s }\n") as sluice:
                sluice.signal(signal.SIGSTOP)
                clients = [sluice.client() for _ in range(20)]
                for client in clients:
                    client.ask("/")
                sluice.signal(signal.SIGTERM)
                sluice.signal(signal.SIGCONT)
                for client in clients:
                    response = client.response()
                    self.assertEqual((response.status, response.body), (200, b"x"))
                    client.close()
                self.assertEqual(sluice.wait(), 0)


class Listener(Scenario):
    """One listener leaves by a reload; the others go on."""
    TWO = "listeners: [ { address: \"127.0.0.1:0\" }, { address: \"%s\" } ]\n" + FIXED
    ONE = "listeners: [ { address: \"127.0.0.1:0\" } ]\n" + FIXED

    def reload(self, sluice, text):
        sluice.write_config(text)
        code, out, err = sluice.cli("reload")
        self.assertEqual(code, 0, out + err)

    def test_it_leaves_and_its_idle_connections_stay(self):
        for address in ("127.0.0.2:0", "unix:$dir/b.sock"):
            with self.subTest(address), Sluice(self.TWO % address + QUICK) as sluice:
                stays, idle = sluice.client(0), sluice.client(1)
                for client in (stays, idle):
                    self.assertFalse(closes(client.get("/")))
                self.reload(sluice, self.ONE + QUICK)
                eventually(lambda: "is closed, 1 connections go on" in sluice.stderr())
                response = idle.get("/")
                self.assertEqual((response.status, closes(response)), (200, True))
                idle.at_end()
                idle.close()
                with self.assertRaises(OSError):
                    Client(sluice.listeners[1])  # refused, not swallowed
                self.assertFalse(closes(stays.get("/")))

    def test_named_again_on_its_way_out_it_comes_back(self):
        with Sluice(self.TWO % "127.0.0.2:0" + QUICK) as sluice:
            idle = sluice.client(1)
            idle.get("/")
            for _ in range(5):
                self.reload(sluice, self.ONE + QUICK)
                self.reload(sluice, self.TWO % "127.0.0.2:0" + QUICK)
                self.assertFalse(closes(idle.get("/")))
                with Client(sluice.listeners[1]) as fresh:  # the same port: the same socket
                    self.assertEqual(fresh.get("/").status, 200)
            self.assertNotIn("is closed", sluice.stderr())

    def test_added_and_removed_under_load_nothing_is_lost(self):
        with Sluice(self.TWO % "unix:$dir/b.sock" + QUICK + "workers: 2\n") as sluice:
            until = threading.Event()
            both = [Strict(sluice.listeners[0], n, 0.01, until) for n in range(4)]
            for client in both:
                client.start()
            for n in range(6):
                there = [Strict(sluice.listeners[1], n * 10 + k, 0.01, until) for k in range(4)]
                for client in there:
                    client.start()
                time.sleep(0.1)
                self.reload(sluice, self.ONE + QUICK + "workers: 2\n")
                for client in there:
                    client.join(20)
                    self.assertEqual((client.losses, client.closed_first), ([], 0))
                    self.assertGreater(client.served, 0)
                self.reload(sluice, self.TWO % "unix:$dir/b.sock" + QUICK + "workers: 2\n")
            until.set()
            for client in both:
                client.join(20)
                self.assertEqual((client.losses, client.closed_first), ([], 0))
                self.assertGreater(client.served, 20)
