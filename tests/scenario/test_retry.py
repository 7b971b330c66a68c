"""A try that fails: what is tried again, and what is not. And whom nobody waits for any more."""
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time

from harness import Scenario, Sluice, Stopwatch
from wire import PATIENCE, Client, Origin, answer, eventually

# Closes a connection that has been idle for so long, and writes down each request it has read.
APPLICATION = r"""
import re, select, socket, sys, threading
log, idle = sys.argv[1], float(sys.argv[2])
listener = socket.create_server(("127.0.0.1", 0), backlog=128)
print(listener.getsockname()[1], flush=True)

def serve(connection):
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while select.select([connection], [], [], idle)[0]:
        request = b""
        while b"\r\n\r\n" not in request:
            more = connection.recv(65536)
            if not more:
                return connection.close()
            request += more
        head, _, body = request.partition(b"\r\n\r\n")
        left = int(re.search(rb"(?i)\r\ncontent-length: *(\d+)|$", head)[1] or 0) - len(body)
        while left > 0:
            left -= len(connection.recv(left)) or left
        with open(log, "ab", 0) as f:
            f.write(request.split(b" ")[1] + b"\n")
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    connection.close()

while True:
    connection, _ = listener.accept()
    threading.Thread(target=serve, args=(connection,), daemon=True).start()
"""


class Application:
    """The above as a process of its own; .executed() are the targets in order."""

    def __init__(self, idle):
        self.idle = idle

    def __enter__(self):
        self.dir = tempfile.TemporaryDirectory(prefix="sl.")
        self.log = self.dir.name + "/log"
        open(self.log, "w").close()
        self.process = subprocess.Popen([sys.executable, "-c", APPLICATION, self.log, str(self.idle)],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        self.endpoint = "127.0.0.1:%d" % int(self.process.stdout.readline())
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.dir.cleanup()

    def executed(self):
        with open(self.log) as f:
            return f.read().split()


class Stopped:
    """Sluice sees nothing of what happens meanwhile, then all of it at once, in order."""

    def __init__(self, sluice):
        self.pids = sluice.pids()

    def __enter__(self):
        for pid in self.pids:
            os.kill(pid, signal.SIGSTOP)

        def is_stopped(pid):
            with open("/proc/%d/stat" % pid) as f:
                return f.read().rpartition(")")[2].split()[0] == "T"
        eventually(lambda: all(is_stopped(pid) for pid in self.pids), "the stop")

    def __exit__(self, *_):
        for pid in self.pids:
            os.kill(pid, signal.SIGCONT)


def sweep(address, name, rounds, limit, answers):
    """Requests with pauses around the application's limit; statuses by target go into answers."""
    draw = random.Random(name)
    client = Client(address)
    for n in range(rounds):
        target = "/%s-%d" % (name, n)
        try:
            answers[target] = client.get(target, "POST", body="x" * draw.choice([0, 10, 3000])).status
        except AssertionError as error:
            answers[target] = str(error)
            client.close()
            client = Client(address)
        time.sleep(limit + draw.uniform(-0.05, 0.05))
    client.close()


class KeepAliveEnd(Scenario):
    LIMIT = 0.5

    def swept(self, upstream):
        """-> (answers by target, targets executed, retries by proof)"""
        answers = {}
        with Application(self.LIMIT) as app, Sluice.before(app, upstream=upstream) as sluice:
            threads = [threading.Thread(target=sweep, args=(sluice.address, "c%d" % n, 12, self.LIMIT, answers))
                       for n in range(16)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            proofs = {p: sluice.metric("sluice_upstream_retries_total", proof=p)
                      for p in ("never_sent", "not_received", "ambiguous")}
            executed = app.executed()
        self.assertEqual(len(executed), len(set(executed)), "executed twice: %r" % [t for t in executed if executed.count(t) > 1])
        self.assertEqual(len(answers), 16 * 12)
        return answers, executed, proofs

    def test_a_post_as_the_application_closes(self):
        answers, executed, _ = self.swept("pool: { idle: 10s }")
        self.assertEqual({t: a for t, a in answers.items() if a != 200}, {})
        self.assertEqual(set(executed), set(answers))

    def test_the_same_where_it_is_provoked(self):
        # On connections as old as the limit, and without any retry that hopes. What is left are requests that came
        # between the application's decision to close and its FIN: nobody can know of these whether they were read.
        answers, executed, proofs = self.swept(
            "pool: { idle: 10s, learn: false, unsafe_idle: 10s }, retry: { attempts: 1 }")
        failed = {t: a for t, a in answers.items() if a != 200}
        self.assertEqual(set(failed.values()) - {502}, set())
        self.assertLessEqual(len(failed), len(answers) // 20)
        self.assertEqual(proofs["ambiguous"], 0)
        self.assertEqual(set(executed) | set(failed), set(answers))


class Stale(Scenario):
    """A connection that was closed before the request was sent, and nobody had heard of it."""

    def race(self, upstream, path=None, method="POST"):
        with Origin(path=path) as origin, Sluice.before(origin, upstream="pool: { idle: 60s, unsafe_idle: 60s }, " + upstream) as sluice:
            client = sluice.client()
            client.ask("/1")
            first = origin.accept()
            first.request()
            first.send(answer("1"))
            client.response()
            with Stopped(sluice):
                client.ask("/2", method, body="pay")
                first.close()
            second = origin.accept()
            request = second.request()
            self.assertEqual((request.method, request.target, request.body), (method, "/2", b"pay"))
            second.send(answer("2"))
            self.assertEqual(client.response().body, b"2")
            self.assertTrue(origin.is_left_alone())
            self.assertEqual(first.buffer, b"")
            entry = sluice.await_log(target="/2")
            self.assertEqual((entry["status"], entry["attempts"]), (200, 2))
            self.assertEqual(sluice.metric("sluice_upstream_retries_total", proof=entry["retried"]), 1)
            return entry["retried"]

    def test_over_tcp_it_is_proven_that_nobody_got_it(self):
        self.assertEqual(self.race("retry: { attempts: 1, budget: 0% }", method="PUT"), "not_received")

    def test_of_what_may_not_be_repeated_only_a_beginning_was_sent(self):
        self.assertEqual(self.race("retry: { attempts: 1, budget: 0% }"), "never_sent")

    def test_over_a_unix_socket_it_was_never_sent(self):
        with tempfile.TemporaryDirectory(prefix="sl.") as folder:
            self.assertEqual(self.race("retry: { attempts: 1, budget: 0% }", folder + "/app.sock"), "never_sent")


class Ambiguous(Scenario):
    """The application has read the request, and nothing came back."""

    def lose(self, method, again, upstream="", route="", headers=(), reset=False, body="pay"):
        with Origin() as origin, Sluice.before(origin, upstream=upstream, route=route) as sluice:
            client = sluice.client()
            client.ask("/", method, headers, body=body)
            served = origin.accept()
            served.request()
            served.reset() if reset else served.close()
            if again:
                served = origin.accept()
                self.assertEqual(served.request().body, (body or "").encode())
                served.send(answer("done"))
                self.assertEqual(client.response().body, b"done")
                entry = sluice.await_log(status=200)
                self.assertEqual((entry["attempts"], entry["retried"]), (2, "ambiguous"))
                self.assertEqual(sluice.metric("sluice_upstream_retries_total", proof="ambiguous"), 1)
            else:
                self.assertEqual(client.response().status, 502)
                entry = sluice.await_reason(502)
                self.assertEqual(entry["attempts"], 1)
                self.assertNotIn("retried", entry)
            self.assertTrue(origin.is_left_alone())

    def test_unsafe_methods_are_not_repeated(self):
        for method in ("POST", "PATCH"):
            for reset in (False, True):
                self.lose(method, False, "retry: { attempts: 5 }", reset=reset)

    def test_idempotent_ones_are(self):
        for method in ("GET", "PUT", "DELETE", "OPTIONS"):
            self.lose(method, True, body="pay" if method == "PUT" else None)
        self.lose("GET", True, body=None, reset=True)

    def test_not_with_one_attempt(self):
        self.lose("GET", False, "retry: { attempts: 1 }", body=None)

    def test_a_route_may_say_that_a_method_is_harmless(self):
        self.lose("POST", True, route="retry: { methods: [POST] }")
        self.lose("PATCH", False, route="retry: { methods: [POST] }")

    def test_an_idempotency_key_counts_where_the_route_honours_it(self):
        key = {"Idempotency-Key": '"8e03978e-40d5"'}
        self.lose("POST", True, route="retry: { idempotency_key: true }", headers=key)
        self.lose("POST", False, route="retry: { idempotency_key: true }")
        self.lose("POST", False, headers=key)

    def test_the_body_is_sent_again_from_memory_and_from_disk(self):
        for size in (10, 50_000, 3_000_000):
            body = "".join(chr(97 + i % 23) for i in range(size))
            self.lose("PUT", True, "buffering: { memory: 64KiB }", body=body)

    def test_a_body_that_was_streamed_is_gone(self):
        with Origin() as origin, Sluice.before(origin, upstream="buffering: { request: off }") as sluice:
            client = sluice.client()
            client.ask("/", "PUT", body="once")
            served = origin.accept()
            served.request()
            served.close()
            self.assertEqual(client.response().status, 502)
            self.assertTrue(origin.is_left_alone())

    def test_an_answer_that_has_begun_is_the_answer(self):
        with Origin() as origin, Sluice.before(origin, upstream="retry: { attempts: 5 }") as sluice:
            client = sluice.client()
            client.ask("/")
            served = origin.accept()
            served.request()
            served.send("HTTP/1.1 200 OK\r\nContent-Le")
            served.reset()  # bytes and RST in one notice
            served = origin.accept()  # of a head that is not whole nobody has heard
            served.request()
            served.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
            self.assertEqual(client.head().status, 200)
            served.close()
            client.is_gone()
            self.assertTrue(origin.is_left_alone())

    def test_nonsense_is_not_asked_for_twice(self):
        with Origin() as origin, Sluice.before(origin, upstream="retry: { attempts: 5 }") as sluice:
            client = sluice.client()
            client.ask("/")
            served = origin.accept()
            served.request()
            served.send("220 mail.example.com ESMTP\r\n\r\n")
            self.assertEqual(client.response().status, 502)
            self.assertTrue(origin.is_left_alone())


class Limits(Scenario):
    def test_attempts_have_an_end(self):
        with Origin(lambda r: (b"", None)) as origin, Sluice.before(origin, upstream="retry: { attempts: 4, backoff: 1ms }") as sluice:
            self.assertEqual(sluice.get("/").status, 502)
            entry = sluice.await_reason(502)
            self.assertEqual((entry["attempts"], entry["retried"]), (4, "ambiguous"))
            self.assertEqual(len(origin.requests), 4)

    def test_a_budget_is_spent(self):
        with Origin(lambda r: (b"", None)) as origin, Sluice.before(origin, upstream="retry: { attempts: 2, budget: 0%, backoff: 1ms }") as sluice:
            tries = []
            for n in range(14):
                sluice.get("/%d" % n)
                tries.append(sluice.await_log(target="/%d" % n)["attempts"])
            self.assertEqual(tries, [2] * 10 + [1] * 4)
            self.assertEqual(len(origin.requests), 24)

    def test_a_pause_that_would_pass_the_deadline_is_not_made(self):
        with Origin() as origin, Sluice.before(origin, route="timeouts: { request: 5s }",
                                               upstream="retry: { backoff: 900s, max_backoff: 900s }") as sluice:
            client = sluice.client()
            client.ask("/")
            served = origin.accept()
            served.request()
            watch = Stopwatch()
            served.close()
            self.assertEqual(client.response().status, 502)
            self.assertLess(watch.seconds, 3)

    def test_a_pause_lies_between_tries(self):
        times = []

        def fail(request):
            times.append(time.monotonic())
            return b"", None
        with Origin(fail) as origin, Sluice.before(origin, upstream="retry: { attempts: 9, backoff: 400ms, max_backoff: 400ms }") as sluice:
            sluice.get("/")
            gaps = [b - a for a, b in zip(times, times[1:])]
            self.assertEqual(len(gaps), 8)
            self.assertGreater(max(gaps), 0.05)  # all of eight below it: one in ten million
            self.assertGreater(max(gaps) - min(gaps), 0.02)

    def test_who_leaves_during_a_pause_is_not_tried_for_again(self):
        with Origin() as origin, Sluice.before(origin, upstream="retry: { backoff: 900s, max_backoff: 900s }") as sluice:
            client = sluice.client()
            client.ask("/")
            served = origin.accept()
            served.request()
            served.close()
            client.reset()
            sluice.await_reason(499)
            self.assertTrue(origin.is_left_alone())

    def test_a_slow_try_is_given_up_for_another(self):
        with Origin() as origin, Sluice.before(origin, upstream="retry: { per_try: 200ms, backoff: 1ms }") as sluice:
            client = sluice.client()
            client.ask("/")
            slow = origin.accept()
            slow.request()
            quick = origin.accept()
            slow.is_gone()
            quick.request()
            quick.send(answer("quick"))
            self.assertEqual(client.response().body, b"quick")
            entry = sluice.await_log(status=200)
            self.assertEqual((entry["attempts"], entry["retried"]), (2, "ambiguous"))

    def test_a_slow_post_is_waited_for(self):
        with Origin() as origin, Sluice.before(origin, upstream="retry: { per_try: 100ms, backoff: 1ms }") as sluice:
            client = sluice.client()
            client.ask("/", "POST", body="pay")
            slow = origin.accept()
            slow.request()
            self.assertTrue(origin.is_left_alone(0.4))
            slow.send(answer("paid"))
            self.assertEqual(client.response().body, b"paid")
            self.assertEqual(sluice.await_log(status=200)["attempts"], 1)

    def test_who_has_waited_first_byte_does_not_wait_again(self):
        with Origin() as origin, Sluice.before(origin, upstream="timeouts: { first_byte: 300ms }, retry: { attempts: 3 }") as sluice:
            client = sluice.client()
            client.ask("/")
            origin.accept().request()
            self.assertEqual(client.response().status, 504)
            self.assertTrue(origin.is_left_alone())


class Held(Scenario):
    """A request waits for a place; its client sends a FIN. Has it left, or is that all it had to say?"""

    def occupied(self, origin, sluice):
        first = sluice.client()
        first.ask("/first")
        served = origin.accept()
        served.request()
        return first, served

    def is_held(self, sluice, count=1):
        sluice.await_metric("sluice_upstream_held_requests", count, upstream="app")

    def never_asked(self, sluice, origin, served, first):
        """The place gets free; the next that the origin hears is from somebody else."""
        last = sluice.client()
        last.ask("/last")
        self.is_held(sluice)
        served.send(answer("1"))
        self.assertEqual(first.response().body, b"1")
        self.assertEqual(served.request().target, "/last")
        served.send(answer("2"))
        self.assertEqual(last.response().body, b"2")
        self.assertTrue(origin.is_left_alone())

    def run_with_place(self, told):
        with Origin() as origin, Sluice.before(origin, upstream="max_in_flight: 1, pool: { idle: 60s }") as sluice:
            told(sluice, origin, *self.occupied(origin, sluice))

    def test_a_client_that_closed_is_never_executed(self):
        def told(sluice, origin, first, served):
            gone = sluice.client()
            gone.ask("/gone", "POST", body="pay")
            self.is_held(sluice)
            gone.close()
            sluice.await_reason(499, target="/gone")
            self.is_held(sluice, 0)
            self.never_asked(sluice, origin, served, first)
        self.run_with_place(told)

    def test_nor_one_that_closed_right_behind_its_request(self):
        for leave in (Client.close, Client.reset):
            def told(sluice, origin, first, served):
                gone = sluice.client()
                with Stopped(sluice):
                    gone.ask("/gone", "POST", body="pay")
                    leave(gone)
                sluice.await_reason(499, target="/gone")
                self.never_asked(sluice, origin, served, first)
            self.run_with_place(told)

    def test_nor_one_that_closed_as_its_turn_came(self):
        def told(sluice, origin, first, served):
            gone = sluice.client()
            gone.ask("/gone", "POST", body="pay")
            self.is_held(sluice)
            with Stopped(sluice):
                served.send(answer("1"))
                gone.close()
            self.assertEqual(first.response().body, b"1")
            sluice.await_reason(499, target="/gone")
            try:
                while served.fill(0.1):  # it may have the connection already, and have begun
                    pass
            except AssertionError:
                pass
            self.assertNotIn(b"\r\n\r\n", served.buffer)
            self.assertTrue(origin.is_left_alone(0))
        self.run_with_place(told)

    def test_nor_one_that_the_application_had_not_read(self):
        with Origin() as origin, Sluice.before(origin) as sluice:
            gone = sluice.client()
            gone.ask("/gone", "POST", body="pay")
            served = origin.accept()
            gone.close()
            sluice.await_reason(499, target="/gone")
            self.assertNotIn(b"\r\n\r\n", served.rest())

    def test_a_half_closed_client_gets_its_answer(self):
        def told(sluice, origin, first, served):
            half = sluice.client()
            half.ask("/half", "POST", body="pay")
            self.is_held(sluice)
            half.finish_sending()
            self.assertEqual(half.take(9), b"HTTP/1.1 ")  # asked whether it is there
            served.send(answer("1"))
            self.assertEqual(first.response().body, b"1")
            self.assertEqual(served.request().body, b"pay")
            served.send(answer("paid", headers={"X-Kept": "yes"}))
            whole = b"HTTP/1.1 " + half.rest()
            head, _, body = whole.partition(b"\r\n\r\n")
            self.assertEqual(body, b"paid")
            self.assertEqual(head.split(b"\r\n")[0], b"HTTP/1.1 200 OK")
            self.assertEqual(whole.count(b"HTTP/1.1"), 1)
            self.assertIn(b"X-Kept: yes", head)
            self.assertEqual(sluice.await_log(target="/half")["status"], 200)
        self.run_with_place(told)

    def test_a_half_closed_client_gets_its_error(self):
        with Origin() as origin, Sluice.before(origin, upstream="max_in_flight: 1, hold: { timeout: 500ms }") as sluice:
            first, served = self.occupied(origin, sluice)
            half = sluice.client()
            half.ask("/half")
            half.finish_sending()
            response = half.response()
            self.assertEqual((response.status, response.get("retry-after")), (503, "1"))
            half.at_end()
            self.assertEqual(sluice.await_reason(503)["reason"], "queue_timeout")
            served.send(answer("1"))
            self.assertEqual(first.response().body, b"1")

    def test_an_application_that_is_away_has_its_own_reasons(self):
        with Origin() as away:
            away.stop()
            with Sluice.before(away, upstream="hold: { timeout: 500ms, requests: 1 }") as sluice:
                first = sluice.client()
                first.ask("/first")
                self.is_held(sluice)
                response = sluice.get("/second")
                self.assertEqual((response.status, response.get("retry-after")), (503, "1"))
                self.assertEqual(sluice.await_reason(503, target="/second")["reason"], "hold_overflow")
                self.assertEqual(first.response().status, 503)
                self.assertEqual(sluice.await_reason(503, target="/first")["reason"], "hold_timeout")
