"""Towards http1 upstreams: connections, endpoints, places, timeouts, and what odd answers become."""
import os
import socket
import tempfile

from harness import Scenario, Sluice, Stopwatch
from wire import Ended, Origin, answer, chunks, eventually


def fine(request):
    return answer(b"fine " + request.target.encode())


class Reuse(Scenario):
    def test_connections_are_reused_after_every_kind_of_answer(self):
        replies = {"/length": answer("abc"), "/chunked": answer("abc", chunked=True), "/zero": answer("", chunked=True),
                   "/204": b"HTTP/1.1 204 No Content\r\n\r\n", "/304": b"HTTP/1.1 304 Not Modified\r\n\r\n",
                   "/head": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"}
        with Origin(lambda r: replies[r.target]) as origin, Sluice.before(origin) as sluice:
            for target in replies:
                self.assertIn(sluice.get(target, "HEAD" if target == "/head" else "GET").status, (200, 204, 304))
            self.assertEqual(origin.count, 1)

    def test_connection_close_of_the_origin_is_honoured(self):
        with Origin() as origin, Sluice.before(origin) as sluice:
            client = sluice.client()
            client.ask("/a")
            first = origin.accept()
            first.request()
            first.send(answer("a", headers={"Connection": "close"}))
            response = client.response()
            self.assertEqual(response.body, b"a")  # and an origin that then does not close stalls nobody
            self.assertNotIn("close", response.get("connection") or "")
            client.ask("/b")
            second = origin.accept()
            self.assertEqual(second.request().target, "/b")
            second.send(answer("b"))
            self.assertEqual(client.response().body, b"b")

    def test_an_idle_connection_that_the_origin_closes_is_noticed(self):
        with Origin() as origin, Sluice.before(origin, upstream="pool: { idle: 10s }, retry: { attempts: 1 }") as sluice:
            client = sluice.client()
            client.ask("/a")
            first = origin.accept()
            first.request()
            first.send(answer("a"))
            client.response()
            first.finish_sending()
            first.at_end()  # sluice saw the FIN and closed, too
            client.ask("/b", "POST", body="x")  # without a retry: the dead connection is not tried
            second = origin.accept()
            second.request()
            second.send(answer("b"))
            self.assertEqual(client.response().body, b"b")

    def test_idle_ones_are_closed_in_time(self):
        with Origin() as origin, Sluice.before(origin, upstream="pool: { idle: 200ms }") as sluice:
            client = sluice.client()
            client.ask("/")
            served = origin.accept()
            served.request()
            served.send(answer("x"))
            client.response()
            watch = Stopwatch()
            served.at_end()
            self.assertWithin(watch.seconds, 0.1, 3)

    def test_requests_per_connection(self):
        with Origin(fine) as origin, Sluice.before(origin, upstream="pool: { requests: 2 }") as sluice:
            client = sluice.client()
            for _ in range(4):
                self.assertEqual(client.get("/").status, 200)
            self.assertEqual(origin.count, 2)

    def test_bytes_nobody_asked_for_end_an_idle_connection(self):
        with Origin() as origin, Sluice.before(origin, upstream="pool: { idle: 10s }") as sluice:
            client = sluice.client()
            client.ask("/a")
            first = origin.accept()
            first.request()
            first.send(answer("a"))
            client.response()
            first.send(answer("poison"))
            first.is_gone()
            client.ask("/b")
            second = origin.accept()
            second.request()
            second.send(answer("b"))
            self.assertEqual(client.response().body, b"b")

    def test_the_last_used_goes_first(self):
        with Origin() as origin, Sluice.before(origin, upstream="pool: { idle: 10s }") as sluice:
            clients = [sluice.client() for _ in range(2)]
            served = []
            for client in clients:
                client.ask("/")
                served.append(origin.accept())
                served[-1].request()
            for client, s in zip(clients, served):
                s.send(answer("x"))
                client.response()
            clients[0].ask("/again")
            self.assertEqual(served[1].request().target, "/again")  # LIFO: the others may grow old
            served[1].send(answer("x"))
            clients[0].response()

    def test_over_a_unix_socket(self):
        with tempfile.TemporaryDirectory(prefix="sl.") as folder, Origin(fine, path=folder + "/app.sock") as origin, Sluice.before(origin) as sluice:
            client = sluice.client()
            for n in range(3):
                self.assertEqual(client.get("/%d" % n).body, b"fine /%d" % n)
            self.assertEqual(origin.count, 1)


class Endpoints(Scenario):
    def name(self, label):
        return lambda request: answer(label)

    def test_round_robin(self):
        with Origin(self.name("a")) as a, Origin(self.name("b")) as b, Origin(self.name("c")) as c, Sluice.before(a, b, c) as sluice:
            client = sluice.client()
            got = [client.get("/").body for _ in range(9)]
            self.assertEqual({x: got.count(x) for x in set(got)}, {b"a": 3, b"b": 3, b"c": 3})
            self.assertEqual(got[:3], got[3:6])

    def test_least_request(self):
        with Origin() as a, Origin() as b, Sluice.before(a, b, upstream="balance: least_request") as sluice:
            busy = sluice.client()
            busy.ask("/busy")
            eventually(lambda: a.count + b.count == 1)
            first, other = (a, b) if a.count else (b, a)
            held = first.accept()
            held.request()
            served = None
            for n in range(4):
                client = sluice.client()
                client.ask("/%d" % n)
                served = served or other.accept()
                served.request()
                served.send(answer("quick"))
                self.assertEqual(client.response().body, b"quick")
            held.send(answer("slow"))
            busy.response()
            self.assertEqual((first.count, other.count), (1, 1))

    def test_a_refused_connection_goes_to_the_next_endpoint(self):
        with Origin() as dead, Origin(fine) as alive:
            dead.stop()
            with Sluice.before(dead, alive, upstream="retry: { attempts: 1 }") as sluice:
                client = sluice.client()
                for method in ("GET", "POST", "GET", "POST"):
                    self.assertEqual(client.get("/", method, body="x" if method == "POST" else None).status, 200)
                self.assertEqual(len(alive.requests), 4)

    def test_all_refused_is_an_error_that_names_itself(self):
        with Origin() as dead:
            dead.stop()
            with Sluice.before(dead, upstream="hold: { timeout: 300ms }, timeouts: { connect: 300ms }") as sluice:
                response = sluice.get("/")
                self.assertIn(response.status, (502, 503))
                entry = sluice.await_reason(response.status)
                self.assertEqual(entry["upstream"], "app")

    def test_a_unix_path_that_is_not_there(self):
        with Sluice.before("unix:/nowhere/app.sock", upstream="hold: { timeout: 300ms }, timeouts: { connect: 300ms }") as sluice:
            self.assertIn(sluice.get("/").status, (502, 503))


class Retries(Scenario):
    def test_a_post_is_never_sent_twice(self):
        with Origin() as origin, Sluice.before(origin, upstream="retry: { attempts: 3 }") as sluice:
            client = sluice.client()
            client.ask("/", "POST", body="pay")
            served = origin.accept()
            served.request()
            served.close()  # read, perhaps executed, no answer
            self.assertEqual(client.response().status, 502)
            self.assertTrue(origin.is_left_alone())
            sluice.await_reason(502)

    def test_a_get_may_be_sent_again(self):
        with Origin() as origin, Sluice.before(origin, upstream="retry: { attempts: 2, budget: 100% }, pool: { idle: 10s }") as sluice:
            client = sluice.client()
            client.ask("/1")
            first = origin.accept()
            first.request()
            first.send(answer("1"))
            client.response()
            client.ask("/2")
            self.assertEqual(first.request().target, "/2")
            first.close()  # a worker that was recycled
            second = origin.accept()
            self.assertEqual(second.request().target, "/2")
            second.send(answer("2"))
            self.assertEqual(client.response().body, b"2")
            self.assertEqual(sluice.await_log(target="/2")["attempts"], 2)

    def test_attempts_are_counted(self):
        with Origin() as origin, Sluice.before(origin, upstream="retry: { attempts: 2, budget: 100% }") as sluice:
            client = sluice.client()
            client.ask("/")
            for _ in range(2):
                served = origin.accept()
                served.request()
                served.close()
            self.assertEqual(client.response().status, 502)
            self.assertTrue(origin.is_left_alone())

    def test_no_second_answer_after_the_first_byte(self):
        with Origin() as origin, Sluice.before(origin, upstream="retry: { attempts: 3 }") as sluice:
            client = sluice.client()
            client.ask("/")
            served = origin.accept()
            served.request()
            served.send("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"x" * 50000)
            served.close()
            self.assertRaises((Ended, AssertionError), client.response)
            self.assertTrue(origin.is_left_alone())


class Places(Scenario):
    """max_in_flight and the queue in front of it."""

    def test_first_come_first_served(self):
        with Origin() as origin, Sluice.before(origin, upstream="max_in_flight: 1") as sluice:
            clients = []
            for n in range(4):
                clients.append(sluice.client())
                clients[-1].ask("/%d" % n)
                if n == 0:
                    served = origin.accept()
                    self.assertEqual(served.request().target, "/0")
                else:
                    eventually(lambda: sluice.metric("sluice_upstream_held_requests", upstream="app") == n, "%d in the queue" % n)
            self.assertTrue(origin.is_left_alone(0.05))
            served.send(answer("0"))
            for n in range(1, 4):
                request = served.request()
                self.assertEqual(request.target, "/%d" % n)
                served.send(answer(str(n)))
            self.assertEqual([c.response().body for c in clients], [b"0", b"1", b"2", b"3"])
            self.assertEqual(origin.count, 1)

    def test_a_full_queue_answers_503(self):
        with Origin() as origin, Sluice.before(origin, upstream="max_in_flight: 1, hold: { requests: 1 }") as sluice:
            first, second = sluice.client(), sluice.client()
            first.ask("/1")
            served = origin.accept()
            second.ask("/2")
            eventually(lambda: sluice.metric("sluice_upstream_held_requests", upstream="app") == 1)
            response = sluice.get("/3")
            self.assertEqual(response.status, 503)
            self.assertTrue(response.has("retry-after"))
            sluice.await_reason(503)
            for _ in range(2):
                served.request()
                served.send(answer("served"))
            self.assertEqual([c.response().status for c in (first, second)], [200, 200])

    def test_waiting_has_an_end(self):
        with Origin() as origin, Sluice.before(origin, upstream="max_in_flight: 1, hold: { timeout: 300ms }") as sluice:
            first = sluice.client()
            first.ask("/1")
            served = origin.accept()
            response = sluice.get("/2")
            self.assertEqual(response.status, 503)
            self.assertTrue(response.has("retry-after"))
            sluice.await_reason(503, target="/2")
            served.request()
            served.send(answer("1"))
            self.assertEqual(first.response().status, 200)

    def test_who_leaves_the_queue_is_not_served(self):
        with Origin() as origin, Sluice.before(origin, upstream="max_in_flight: 1") as sluice:
            first, gone, last = (sluice.client() for _ in range(3))
            first.ask("/1")
            served = origin.accept()
            gone.ask("/gone")
            eventually(lambda: sluice.metric("sluice_upstream_held_requests", upstream="app") == 1)
            gone.reset()
            sluice.await_reason(499, target="/gone")
            last.ask("/2")
            served.request()
            served.send(answer("1"))
            self.assertEqual(served.request().target, "/2")
            served.send(answer("2"))
            self.assertEqual((first.response().body, last.response().body), (b"1", b"2"))

    def test_across_workers(self):
        with Origin() as origin, Sluice.before(origin, upstream="max_in_flight: 1", top="workers: 2\n") as sluice:
            clients = [sluice.client() for _ in range(6)]
            for client in clients:
                client.ask("/")
            for _ in range(6):  # never two at a time, whichever worker has the client
                served = _next(origin)
                served.request()
                self.assertFalse(any(_readable(c) for c in origin.connections if c is not served))
                served.send(answer("x"))
            self.assertEqual([c.response().status for c in clients], [200] * 6)


def _readable(connection):
    if connection.sock.fileno() < 0:
        return False
    connection.sock.setblocking(False)
    try:
        return bool(connection.sock.recv(1, socket.MSG_PEEK))
    except OSError:
        return False


def _next(origin):
    return eventually(lambda: next((c for c in origin.connections if _readable(c)), None), "the next request")


class Timeouts(Scenario):
    def test_connect(self):
        with socket.socket() as deaf:  # a backlog that is full drops the SYN
            deaf.bind(("127.0.0.1", 0))
            deaf.listen(0)
            fillers = []
            for _ in range(3):
                s = socket.socket()
                s.setblocking(False)
                s.connect_ex(deaf.getsockname())
                fillers.append(s)
            with Sluice.before("127.0.0.1:%d" % deaf.getsockname()[1], upstream="timeouts: { connect: 300ms }, hold: { timeout: 500ms }, retry: { attempts: 1 }") as sluice:
                response = sluice.get("/")
                self.assertIn(response.status, (503, 504))
                sluice.await_reason(response.status)
            for s in fillers:
                s.close()

    def test_first_byte(self):
        with Origin() as origin, Sluice.before(origin, upstream="timeouts: { first_byte: 300ms }, retry: { attempts: 1 }") as sluice:
            client = sluice.client()
            client.ask("/")
            served = origin.accept()
            served.request()
            self.assertEqual(client.response().status, 504)
            served.is_gone()
            sluice.await_reason(504)

    def test_first_byte_does_not_count_an_interim_answer(self):
        with Origin() as origin, Sluice.before(origin, upstream="timeouts: { first_byte: 400ms }, retry: { attempts: 1 }") as sluice:
            client = sluice.client()
            client.ask("/")
            served = origin.accept()
            served.request()
            served.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
            self.assertEqual(client.response().status, 504)

    def test_between_bytes(self):
        with Origin() as origin, Sluice.before(origin, upstream="timeouts: { between_bytes: 300ms }") as sluice:
            client = sluice.client()
            client.ask("/")
            served = origin.accept()
            served.request()
            served.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
            try:
                self.assertIn(client.response().status, (502, 504))  # nothing had been sent yet
            except Ended:
                pass  # or cut, so that the client can tell
            self.assertTrue(sluice.await_log(target="/")["reason"])

    def test_send(self):
        with Origin() as origin, Sluice.before(origin, upstream="timeouts: { send: 300ms }, retry: { attempts: 1 }", listener="limits: { body: 100MiB }") as sluice:
            client = sluice.client()
            client.ask("/", "POST", body=b"x" * (24 << 20))
            served = origin.accept()  # and never reads
            self.assertIn(client.response().status, (502, 504))
            entry = sluice.await_log(method="POST")
            self.assertTrue(entry["reason"])
            served.close()

    def test_whole_request(self):
        with Origin() as origin, Sluice.before(origin, route="timeouts: { request: 400ms }", upstream="retry: { attempts: 1 }") as sluice:
            client = sluice.client()
            client.ask("/")
            served = origin.accept()
            served.request()
            self.assertEqual(client.response().status, 504)
            sluice.await_reason(504)

    def test_whole_request_covers_the_queue(self):
        with Origin() as origin, Sluice.before(origin, route="timeouts: { request: 400ms }", upstream="max_in_flight: 1, retry: { attempts: 1 }") as sluice:
            clients = [sluice.client() for _ in range(2)]
            for client in clients:
                client.ask("/")
            origin.accept()
            for client in clients:
                self.assertIn(client.response().status, (503, 504))


class Answers(Scenario):
    """What the origin gets wrong stays visible, and stays in its exchange."""

    def ask(self, reply, close=True, method="GET", **more):
        with Origin() as origin, Sluice.before(origin, **more) as sluice:
            client = sluice.client()
            client.ask("/x", method)
            served = origin.accept()
            served.request()
            served.send(reply)
            if close:
                served.close()
            try:
                return client.response(method)
            except Ended:
                return None
            finally:
                if not close:
                    served.is_gone()  # such a connection is not used again

    def test_truncated_length_is_never_a_whole_answer(self):
        for top in ("on", "off"):
            response = self.ask("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", route="buffering: " + top)
            self.assertTrue(response is None or response.status == 502, response)

    def test_truncated_chunked_is_never_a_whole_answer(self):
        for top in ("on", "off"):
            response = self.ask(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks(b"half", last=False), route="buffering: " + top)
            self.assertTrue(response is None or response.status == 502, response)

    def test_more_than_its_length_is_cut_and_the_connection_dropped(self):
        response = self.ask("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokEXTRA", close=False)
        self.assertEqual((response.status, response.body), (200, b"ok"))

    def test_bytes_after_the_last_chunk_are_dropped(self):
        response = self.ask(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks(b"ok") + b"EXTRA", close=False)
        self.assertEqual((response.status, response.body), (200, b"ok"))

    def test_a_body_to_head_is_dropped(self):
        response = self.ask("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody", close=False, method="HEAD")
        self.assertEqual((response.status, response.get("content-length")), (200, "4"))

    def test_contradictory_framing_is_502(self):
        for fields in ("Content-Length: 1\r\nContent-Length: 2\r\n", "Content-Length: x\r\n", "Transfer-Encoding: gzip\r\n",
                       "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"):
            response = self.ask("HTTP/1.1 200 OK\r\n%s\r\nab" % fields)
            self.assertTrue(response is None or response.status == 502, fields)

    def test_garbage_is_502_with_a_reason(self):
        with Origin(lambda r: (b"SSH-2.0-nonsense\r\n", None)) as origin, Sluice.before(origin) as sluice:
            self.assertEqual(sluice.get("/").status, 502)
            sluice.await_reason(502)

    def test_too_large_a_head_is_502(self):
        self.assertEqual(self.ask("HTTP/1.1 200 OK\r\nX-A: %s\r\n\r\n" % ("a" * 400000)).status, 502)

    def test_no_answer_is_502(self):
        with Origin(lambda r: (b"", None)) as origin, Sluice.before(origin, upstream="retry: { attempts: 1 }") as sluice:
            self.assertEqual(sluice.get("/").status, 502)
            sluice.await_reason(502)

    def test_an_answer_up_to_the_end_of_the_connection(self):
        with Origin(lambda r: (b"HTTP/1.1 200 OK\r\n\r\nall of it", None)) as origin, Sluice.before(origin) as sluice:
            client = sluice.client()
            response = client.get("/")
            self.assertEqual(response.body, b"all of it")
            self.assertNotEqual(response.framing, "close")  # towards the client its end is marked
            self.assertEqual(client.get("/").status, 200)

    def test_hop_by_hop_fields_are_not_relayed(self):
        reply = answer("x", headers={"Connection": "keep-alive, X-Hop", "Keep-Alive": "timeout=5", "X-Hop": "1", "X-End": "2",
                                     "Proxy-Connection": "keep-alive", "Upgrade": "h2c"})
        with Origin(lambda r: reply) as origin, Sluice.before(origin) as sluice:
            response = sluice.get("/")
            for name in ("keep-alive", "x-hop", "proxy-connection", "upgrade"):
                self.assertFalse(response.has(name), name)
            self.assertEqual(response.get("x-end"), "2")

    def test_repeated_fields_stay_apart_and_in_order(self):
        reply = answer("x", headers=[("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("Link", "</a>"), ("Link", "</b>")])
        with Origin(lambda r: reply) as origin, Sluice.before(origin) as sluice:
            response = sluice.get("/")
            self.assertEqual((response.all("set-cookie"), response.all("link")), (["a=1", "b=2"], ["</a>", "</b>"]))

    def test_an_early_answer_is_not_lost_with_its_connection(self):
        """The application answers and closes before it has read the body: 403, not 502."""
        with Origin() as origin, Sluice.before(origin) as sluice:
            client = sluice.client()
            client.ask("/", "POST", body=b"x" * (4 << 20))
            served = origin.accept()
            served.head()
            served.send(answer("no", status=403, headers={"Connection": "close"}))
            served.finish_sending()
            self.assertEqual(client.response().status, 403)
            served.is_gone()


class Unix(Scenario):
    def test_sluice_may_listen_on_a_path(self):
        with tempfile.TemporaryDirectory(prefix="sl.") as folder, Origin(fine) as origin, Sluice("""
listeners: [ { address: "unix:$folder/front.sock" } ]
routes: [ { path: /, upstream: app } ]
upstreams: { app: { endpoints: [ $endpoint ] } }
""", folder=folder, endpoint=origin.endpoint) as sluice:
            self.assertEqual(sluice.get("/u").body, b"fine /u")
            self.assertTrue(os.path.exists(folder + "/front.sock"))
