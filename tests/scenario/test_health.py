"""Who is there: the watch of listeners, active checks, and what follows from them."""
import os
import queue
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

from harness import SANITIZED, Scenario, Sluice
from wire import PATIENCE, Origin, UwsgiOrigin, answer, eventually, free_port

SLOWER = 10 if SANITIZED else 1  # what is measured in milliseconds

# An application that says when it listens and when it is called, and dies as one does.
PROGRAM = r"""
import socket, sys, time
where = sys.argv[1]
if where.startswith("/"):
    import os
    if os.path.exists(where): os.unlink(where)
    s = socket.socket(socket.AF_UNIX)
    s.bind(where)
else:
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("127.0.0.1", int(where)))
s.listen(64)
print("listens", time.time(), flush=True)
while True:
    c, _ = s.accept()
    print("called", time.time(), flush=True)
    if c.recv(65536):
        c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nfine")
    c.close()
"""


class Program:
    def __init__(self, where):
        self.where = where
        self.endpoint = "unix:" + where if where.startswith("/") else "127.0.0.1:" + where

    def start(self):
        self.news = queue.Queue()
        self.process = subprocess.Popen([sys.executable, "-c", PROGRAM, self.where], stdout=subprocess.PIPE, text=True)
        threading.Thread(target=self._read, args=(self.process.stdout, self.news), daemon=True).start()
        return self

    def _read(self, pipe, news):
        with pipe:
            for line in pipe:
                word, at = line.split()
                news.put((word, float(at)))

    def heard(self, word):
        """When it did that."""
        said, at = self.news.get(timeout=PATIENCE)
        assert said == word, "it %s instead of %s" % (said, word)
        return at

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()


def state(sluice, endpoint=None):
    for name, labels, value in sluice.samples():
        if name == "sluice_upstream_endpoint_state" and value == 1 and endpoint in (None, labels["endpoint"]):
            return labels["state"]


def listeners(where):
    """Who else listens there: for the message of a failure."""
    asked = subprocess.run(["ss", "-lnptx"], stdout=subprocess.PIPE, text=True).stdout
    return "\n".join(line for line in asked.splitlines() if where in line) or "nobody listens at " + where


def await_state(sluice, wanted, endpoint=None):
    last = []

    def same():
        last[:] = [state(sluice, endpoint)]
        return last[0] == wanted
    try:
        eventually(same)
    except AssertionError:
        raise AssertionError("the endpoint is %s, not %s" % (last[0], wanted)) from None


def checks(sluice, result):
    return sluice.metric("sluice_upstream_checks_total", result=result)


class Watch(Scenario):
    def restarts(self, where):
        """Killed and started again, five times -> milliseconds (to holding, to the held request's release)"""
        gone, back = [], []
        with Program(where).start() as app:
            app.heard("listens")
            with Sluice.before(app) as sluice:
                for _ in range(5):
                    self.assertEqual(sluice.get("/").body, b"fine")
                    app.heard("called")
                    await_state(sluice, "ready")
                    began = time.time()
                    app.kill()
                    while state(sluice) != "holding":
                        self.assertLess(time.time() - began, PATIENCE, listeners(where))
                    gone.append((time.time() - began) * 1000)
                    client = sluice.client()
                    client.ask("/held")
                    eventually(lambda: sluice.metric("sluice_upstream_held_requests") == 1)
                    app.start()
                    listens = app.heard("listens")
                    self.assertEqual(client.response().body, b"fine")
                    back.append((app.heard("called") - listens) * 1000)
                    self.assertTrue(app.news.empty(), "there was more than the request")
                self.assertEqual(sluice.metric("sluice_dropped_total"), 0)
        return min(gone), min(back)  # the others met a busy machine

    def test_a_killed_application_is_held_for_and_released_at_once(self):
        gone, back = self.restarts(str(free_port()))
        self.assertLessEqual(gone, 50 * SLOWER)
        self.assertLessEqual(back, 20 * SLOWER)

    def test_the_same_on_a_unix_socket_whose_path_stays(self):
        with tempfile.TemporaryDirectory() as folder:
            gone, back = self.restarts(folder + "/app.sock")
        self.assertLessEqual(gone, 50 * SLOWER)
        self.assertLessEqual(back, 20 * SLOWER)

    def test_nobody_is_connected_to_unasked(self):
        with Origin() as origin, Sluice.before(origin) as sluice:
            self.assertTrue(origin.is_left_alone(0.5))
            self.assertEqual(state(sluice), "starting")

    def test_an_application_that_is_not_there_yet_is_waited_for(self):
        app = Program(str(free_port()))
        with Sluice.before(app) as sluice:
            await_state(sluice, "holding")
            client = sluice.client()
            client.ask("/")
            eventually(lambda: sluice.metric("sluice_upstream_held_requests") == 1)
            with app.start():
                self.assertEqual(client.response().body, b"fine")

    def test_watching_costs_next_to_nothing(self):
        with Origin() as a, Origin() as b, Origin() as c, Origin() as d, Sluice.before(a, b, c, d) as sluice:
            sluice.http_metrics()
            before, began = sluice.cpu_seconds(), time.monotonic()
            time.sleep(3)  # what is measured is how little happens
            used = (sluice.cpu_seconds() - before) / (time.monotonic() - began)
            self.assertLess(used, 0.02 * SLOWER)  # the kernel counts in hundredths of a second


class Checks(Scenario):
    kind, protocol = Origin, "http1"
    often = "interval: 20ms, fast_interval: 10ms"

    def reply(self, status=200, body=b"all is fine"):
        return answer(body, status=status)

    def before(self, origin, health, **more):
        return Sluice.before(origin, upstream="health: { %s, %s }" % (health, self.often), protocol=self.protocol, **more)

    def headers_of(self, request):
        return request.get("host"), request.get("user-agent")

    def test_a_check_is_a_request_as_configured(self):
        with self.kind(lambda r: self.reply()) as origin:
            with Sluice.before(origin, protocol=self.protocol, upstream="health: { path: '/health/?full=1', method: HEAD, host: shop.example, interval: 1h, fast_interval: 1h }") as sluice:
                await_state(sluice, "ready")
                request = origin.requests[0]
                self.assertEqual((request.method, request.target), ("HEAD", "/health/?full=1"))
                self.assertEqual(self.headers_of(request), ("shop.example", "sluice-health"))
                self.assertEqual(origin.count, 1)

    def test_status_decides(self):
        status = [200]
        with self.kind(lambda r: self.reply(status[0])) as origin, self.before(origin, "path: /h, status: [ '200-299', 404 ], rise: 2, fall: 2") as sluice:
            await_state(sluice, "ready")
            self.assertGreaterEqual(checks(sluice, "success"), 2)
            status[0] = 500
            await_state(sluice, "suspect")
            self.assertGreaterEqual(checks(sluice, "failure"), 2)
            status[0] = 404
            await_state(sluice, "ready")

    def test_body_decides(self):
        body = [b"all is fine"]
        with self.kind(lambda r: self.reply(body=body[0])) as origin, self.before(origin, "path: /h, body: is fine, fall: 1") as sluice:
            await_state(sluice, "ready")
            body[0] = b"all is lost"
            await_state(sluice, "suspect")
            body[0] = b"x" * 65536 + b"is fine"
            seen = checks(sluice, "failure")
            eventually(lambda: checks(sluice, "failure") > seen + 1)
            self.assertEqual(state(sluice), "suspect")
            body[0] = b"it is fine" + b"x" * 70000
            await_state(sluice, "ready")

    def test_fall_is_counted_in_a_row(self):
        turn = []

        def alternate(request):
            turn.append(1)
            return self.reply(200 if len(turn) % 3 == 0 else 500)
        with self.kind(alternate) as origin, self.before(origin, "path: /h, fall: 3") as sluice:
            await_state(sluice, "ready")
            eventually(lambda: checks(sluice, "failure") > 10)
            self.assertEqual(state(sluice), "ready")

    def test_down_at_first_means_no_request_before_a_check_was_well(self):
        status = [503]
        with self.kind(lambda r: self.reply(status[0])) as origin, self.before(origin, "path: /h, initial: down") as sluice:
            eventually(lambda: checks(sluice, "failure") > 3)
            self.assertEqual(state(sluice), "holding")
            client = sluice.client()
            client.ask("/order")
            eventually(lambda: sluice.metric("sluice_upstream_held_requests") == 1)
            seen = checks(sluice, "failure")
            eventually(lambda: checks(sluice, "failure") > seen + 3)
            self.assertNotIn("/order", [r.target for r in origin.requests])
            status[0] = 200
            self.assertEqual(client.response().status, 200)

    def test_an_application_that_hangs_fails_its_checks(self):
        with self.kind() as origin:
            with self.before(origin, "path: /h, timeout: 50ms, fall: 2") as sluice:
                await_state(sluice, "suspect")

    def test_checks_have_connections_of_their_own(self):
        with self.kind(lambda r: self.reply()) as origin, self.before(origin, "path: /h") as sluice:
            eventually(lambda: checks(sluice, "success") > 3)
            self.assertEqual(sluice.metric("sluice_upstream_connects_total"), 0)
            self.assertEqual(sluice.metric("sluice_upstream_requests_total"), 0)
            self.assertEqual(sluice.log(), [])


class ChecksOfUwsgi(Checks):
    kind, protocol = UwsgiOrigin, "uwsgi"

    def headers_of(self, request):
        return request.vars.get("HTTP_HOST"), request.vars.get("HTTP_USER_AGENT")


class TcpChecks(Scenario):
    def test_a_connect_is_enough(self):
        with Origin() as origin:
            with Sluice.before(origin, upstream="health: { type: tcp, interval: 20ms, fast_interval: 10ms }") as sluice:
                await_state(sluice, "ready")
                self.assertTrue(origin.accept().at_end())  # nothing was said
                eventually(lambda: checks(sluice, "success") > 3)
                origin.stop()
                await_state(sluice, "holding")
                eventually(lambda: checks(sluice, "failure") > 1)
