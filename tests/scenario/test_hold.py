"""The application is away: its requests wait, and are let go when it is there."""
import os
import queue
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

from harness import Scenario, Sluice, Stopwatch
from wire import PATIENCE, Client, Ended, Origin, answer, eventually

# A process of its own, to be killed: writes each request's target to a file when it has read it,
# and answers a little later.
APPLICATION = r"""
import socket, sys, threading, time
port, log, delay = int(sys.argv[1]), sys.argv[2], float(sys.argv[3])
listener = socket.create_server(("127.0.0.1", port), backlog=128)
print("listens", flush=True)

def serve(connection):
    buffer = b""
    while True:
        while b"\r\n\r\n" not in buffer:
            piece = connection.recv(65536)
            if not piece:
                return
            buffer += piece
        head, _, buffer = buffer.partition(b"\r\n\r\n")
        length = [int(l.split(b":")[1]) for l in head.lower().split(b"\r\n") if l.startswith(b"content-length:")]
        while length and len(buffer) < length[0]:
            buffer += connection.recv(65536)
        buffer = buffer[length[0]:] if length else buffer
        with open(log, "ab", 0) as f:
            f.write(head.split(b" ")[1] + b"\n")
        time.sleep(delay)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

while True:
    connection, _ = listener.accept()
    threading.Thread(target=serve, args=(connection,), daemon=True).start()
"""


class LateOrigin(Origin):
    """Has its address from the start and listens when told: until then connecting is refused."""

    def __init__(self, serve=None, path=None, backlog=128):
        self.serve, self.requests, self.connections, self.errors = serve, [], [], []
        self.waiting, self.count, self.backlog = queue.Queue(), 0, backlog
        if path:
            self.sock = socket.socket(socket.AF_UNIX)
            self.path, self.endpoint = path, "unix:" + path
        else:
            self.sock, self.path = socket.socket(), None
            # Its connections must not keep the port when somebody comes back to it.
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.sock.bind(("127.0.0.1", 0))
            self.endpoint = "127.0.0.1:%d" % self.sock.getsockname()[1]
        self.thread = threading.Thread(target=self._accept_all, daemon=True)

    def come(self):
        if self.path:
            self.sock.bind(self.path)
        self.sock.listen(self.backlog)
        self.thread.start()

    def stop(self):
        if self.thread.ident:
            return super().stop()
        self.sock.close()


def fine(request):
    return answer(b"fine " + request.target.encode())


class Hold(Scenario):
    def held(self, sluice, count):
        sluice.await_metric("sluice_upstream_held_requests", count, upstream="app")

    def ask(self, sluice, target, *more, **keys):
        client = sluice.client()
        client.ask(target, *more, **keys)
        return client

    # -- who waits --

    def test_a_refused_request_waits_for_the_application(self):
        for workers in (1, 2):
            with LateOrigin(fine) as origin, Sluice.before(origin, top="workers: %d\n" % workers) as sluice:
                clients = [self.ask(sluice, "/%d" % n) for n in range(4)]
                self.held(sluice, 4)
                origin.come()
                watch = Stopwatch()
                for n, client in enumerate(clients):
                    response = client.response()
                    self.assertEqual((response.status, response.body), (200, b"fine /%d" % n))
                self.assertWithin(watch.seconds, 0, 2)
                self.held(sluice, 0)
                self.assertEqual(sluice.metric("sluice_upstream_hold_seconds_count", upstream="app"), 4)

    def test_over_a_unix_socket_that_is_not_there_yet(self):
        with tempfile.TemporaryDirectory(prefix="sl.") as folder, LateOrigin(fine, path=folder + "/app.sock") as origin, Sluice.before(origin) as sluice:
            clients = [self.ask(sluice, "/%d" % n) for n in range(3)]
            self.held(sluice, 3)
            origin.come()
            self.assertEqual([c.response().status for c in clients], [200] * 3)

    def test_a_restart_between_requests_costs_nothing_but_time(self):
        with LateOrigin(fine) as origin, Sluice.before(origin) as sluice:
            origin.come()
            client = sluice.client()
            self.assertEqual(client.get("/before").status, 200)
            port = origin.sock.getsockname()[1]
            origin.stop()
            for connection in origin.connections:
                connection.sock.shutdown(socket.SHUT_RDWR)  # a thread still reads it: close() alone says nothing
                connection.close()
            for n, method in enumerate(("GET", "POST")):
                client = self.ask(sluice, "/%s" % method, method, body="x" if method == "POST" else None)
                self.held(sluice, n + 1)
            again = LateOrigin(fine)
            again.sock.close()
            again.sock = socket.socket()
            again.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            again.sock.bind(("127.0.0.1", port))
            with again:
                again.come()
                self.assertEqual(client.response().body, b"fine /POST")
                eventually(lambda: len(again.requests) == 2)

    def test_first_come_first_served(self):
        with LateOrigin() as origin, Sluice.before(origin, upstream="max_in_flight: 1") as sluice:
            clients = []
            for n in range(5):
                clients.append(self.ask(sluice, "/%d" % n))
                self.held(sluice, n + 1)
            origin.come()
            served = origin.accept()
            for n in range(5):
                self.assertEqual(served.request().target, "/%d" % n)
                served.send(answer(str(n)))
            self.assertEqual([c.response().body for c in clients], [b"%d" % n for n in range(5)])

    def test_a_body_is_held_and_delivered_whole(self):
        body = os.urandom(300_000)  # more than stays in memory
        with LateOrigin(lambda r: answer(str(len(r.body)))) as origin, Sluice.before(origin) as sluice:
            client = self.ask(sluice, "/upload", "POST", body=body)
            self.held(sluice, 1)
            origin.come()
            self.assertEqual(client.response().body, b"300000")
            self.assertEqual(origin.requests[0].body, body)

    def test_a_reload_keeps_who_waits(self):
        with LateOrigin(fine) as origin, Sluice.before(origin) as sluice:
            client = self.ask(sluice, "/patient")
            self.held(sluice, 1)
            self.assertEqual(sluice.cli("reload")[0], 0)
            self.held(sluice, 1)
            origin.come()
            self.assertEqual(client.response().status, 200)

    # -- who does not --

    def test_the_wait_has_an_end_that_names_its_reason(self):
        with LateOrigin(fine) as origin, Sluice.before(origin, upstream="hold: { timeout: 300ms }") as sluice:
            watch = Stopwatch()
            response = sluice.get("/late")
            self.assertEqual(response.status, 503)
            self.assertTrue(response.has("retry-after"))
            self.assertWithin(watch.seconds, 0.25, 3)
            sluice.await_reason(503, target="/late")
            said = ("refused", "no endpoint is there")  # by a dial, or by the watch that was first
            eventually(lambda: any(word in sluice.stderr() for word in said), "what was waited for")

    def test_an_overflow_is_answered_at_once(self):
        with LateOrigin(fine) as origin, Sluice.before(origin, upstream="hold: { requests: 2 }") as sluice:
            clients = [self.ask(sluice, "/%d" % n) for n in range(2)]
            self.held(sluice, 2)
            watch = Stopwatch()
            response = sluice.get("/over")
            self.assertEqual(response.status, 503)
            self.assertTrue(response.has("retry-after"))
            self.assertWithin(watch.seconds, 0, 2)
            sluice.await_reason(503, target="/over")
            origin.come()
            self.assertEqual([c.response().status for c in clients], [200] * 2)

    def test_who_leaves_is_never_executed(self):
        with LateOrigin(fine) as origin, Sluice.before(origin) as sluice:
            gone, stays = self.ask(sluice, "/gone", "POST", body="pay"), self.ask(sluice, "/stays")
            self.held(sluice, 2)
            gone.reset()
            self.held(sluice, 1)
            origin.come()
            self.assertEqual(stays.response().status, 200)
            self.assertEqual([r.target for r in origin.requests], ["/stays"])
            sluice.await_reason(499, target="/gone")

    def test_switched_off_a_refusal_is_answered_at_once(self):
        with LateOrigin(fine) as origin, Sluice.before(origin, upstream="hold: { timeout: 0s }") as sluice:
            for _ in range(3):
                watch = Stopwatch()
                self.assertEqual(sluice.get("/").status, 502)
                self.assertWithin(watch.seconds, 0, 2)
            origin.come()
            eventually(lambda: sluice.get("/").status == 200)

    # -- how they are let go --

    def test_a_ramp(self):
        with LateOrigin() as origin, Sluice.before(origin, upstream="hold: { ramp: 3 }") as sluice:
            clients = [self.ask(sluice, "/%d" % n) for n in range(10)]
            self.held(sluice, 10)
            origin.come()
            first = [origin.accept() for _ in range(3)]
            self.assertTrue(origin.is_left_alone(0.2))
            self.held(sluice, 7)
            for served in first:
                served.request()
                served.send(answer("x"))
            # Three answers are room for six: the three connections, and three new ones.
            second = first + [origin.accept() for _ in range(3)]
            for served in second:
                served.request()
            self.assertTrue(origin.is_left_alone(0.2))
            self.held(sluice, 1)
            for served in second:
                served.send(answer("x"))
            last = eventually(lambda: next((s for s in second if _readable(s)), None), "the last request")
            last.request()
            last.send(answer("x"))
            self.assertEqual([c.response().status for c in clients], [200] * 10)

    def test_a_full_backlog_is_no_failure(self):
        with tempfile.TemporaryDirectory(prefix="sl.") as folder:
            path = folder + "/app.sock"
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(path)
            listener.listen(0)
            taken = []

            def accept_slowly():
                while True:
                    try:
                        connection, _ = listener.accept()
                    except OSError:
                        return
                    time.sleep(0.005)  # this application's pace
                    with connection:
                        request = b""
                        while b"\r\n\r\n" not in request:
                            request += connection.recv(65536)
                        taken.append(request.split(b" ")[1])
                        connection.sendall(answer("slow", headers={"Connection": "close"}))
            thread = threading.Thread(target=accept_slowly, daemon=True)
            with Sluice.before("unix:" + path, top="workers: 2\n") as sluice:
                clients = [self.ask(sluice, "/%d" % n, "POST" if n % 2 else "GET", body="x" if n % 2 else None) for n in range(40)]
                eventually(lambda: sluice.metric("sluice_upstream_held_requests", upstream="app") >= 30)
                thread.start()
                self.assertEqual([c.response().status for c in clients], [200] * 40)
                self.assertEqual(len(set(taken)), 40)
                self.assertEqual(len(taken), 40)
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            thread.join(PATIENCE)

    def test_a_dead_endpoint_beside_a_live_one_is_not_noticed(self):
        with LateOrigin(fine) as dead, Origin(fine) as alive, Sluice.before(dead, alive) as sluice:
            client = sluice.client()
            for n in range(20):
                watch = Stopwatch()
                method = "POST" if n % 2 else "GET"
                self.assertEqual(client.get("/%d" % n, method, body="x" if n % 2 else None).status, 200)
                self.assertWithin(watch.seconds, 0, 1)
            self.assertEqual(sluice.metric("sluice_upstream_hold_seconds_count", upstream="app"), 0)
            self.assertWithin(sluice.metric("sluice_upstream_retries_total", upstream="app", proof="never_sent"), 0, 1)
            dead.come()  # and is used again when it is there
            eventually(lambda: client.get("/").status == 200 and dead.count > 0)


def _readable(connection):
    connection.sock.setblocking(False)
    try:
        return bool(connection.sock.recv(1, socket.MSG_PEEK))
    except OSError:
        return False


class Killed(Scenario):
    """kill -9, again and again, under requests: the application's log is the judge."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="sl.")
        self.addCleanup(self.folder.cleanup)
        self.log = self.folder.name + "/executed"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.application = None
        self.come()
        self.addCleanup(self.go)

    def come(self):
        self.application = subprocess.Popen([sys.executable, "-c", APPLICATION, str(self.port), self.log, "0.01"], stdout=subprocess.PIPE)
        self.application.stdout.readline()

    def go(self):
        self.application.send_signal(signal.SIGKILL)
        self.application.wait()
        self.application.stdout.close()

    def test_only_what_it_had_in_hand_may_fail(self):
        faults, statuses, enough = [], {}, threading.Event()

        def ask(name, method):
            client, n = None, 0
            while not enough.is_set():
                target = "/%s/%d" % (name, n)
                n += 1
                try:
                    client = client or Client(sluice.address)
                    status = client.get(target, method, body="x" if method == "POST" else None).status
                except (Ended, AssertionError, OSError) as error:
                    faults.append("%s: %r" % (target, error))
                    return
                statuses[target] = status
        with Sluice.before("127.0.0.1:%d" % self.port, upstream="retry: { attempts: 3, budget: 100% }") as sluice:
            threads = [threading.Thread(target=ask, args=("%s%d" % (method, n), method)) for method in ("GET", "POST") for n in range(4)]
            for thread in threads:
                thread.start()
            for _ in range(4):
                before = len(statuses)
                eventually(lambda: len(statuses) >= before + 100, "requests between two kills")
                self.go()
                sluice.await_metric("sluice_upstream_held_requests", 8, upstream="app")  # nobody is told anything
                self.come()
            before = len(statuses)
            eventually(lambda: len(statuses) >= before + 100, "requests after the last return")
            enough.set()
            for thread in threads:
                thread.join(PATIENCE)
        self.assertEqual(faults, [])
        with open(self.log) as f:
            executed = f.read().split()
        failed = [t for t, status in statuses.items() if status != 200]
        self.assertEqual([t for t in failed if t.startswith("/GET")], [])
        self.assertWithin(len(failed), 0, 4 * 4)  # of each kill: the POSTs it had in hand
        for target, status in statuses.items():
            if target.startswith("/POST"):
                self.assertIn(executed.count(target), (1,) if status == 200 else (0, 1), target)
