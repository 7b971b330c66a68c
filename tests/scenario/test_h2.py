"""HTTP/2 towards clients, with prior knowledge on the port of HTTP/1.1."""
import hashlib, os, signal, subprocess, threading

from h2 import (CALM, CANCEL, CONT, DATA, END, END_HEADERS, HEADERS, INTERNAL_ERROR, LARGE, NO_ERROR, PING, PROTOCOL_ERROR, REFUSED_STREAM, RST,
                SETTINGS, WINDOW, H2Client, Stream, frame, header_frames, hpack, word)
from harness import Scenario, Sluice
from tls import SecureClient
from wire import PATIENCE, Ended, Origin, UwsgiOrigin, answer, eventually


def echo(request):
    return answer(b"%s %s %s" % (request.method.encode(), request.target.encode("latin-1"), request.body))


def tool(*command, data=None):
    done = subprocess.run(command, input=data, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PATIENCE * 6)
    assert done.returncode == 0, "%r: exit code %d\n%s" % (command, done.returncode, done.stdout[-3000:])
    return done.stdout


def curl(sluice, target="/", *more, data=None):
    return tool("curl", "-sS", "--max-time", "%d" % (PATIENCE * 3), "--http2-prior-knowledge", *more,
                "http://%s:%d%s" % (*sluice.address, target), data=data)


def h2load(sluice, requests, *more):
    """-> its words, after all of them were answered 2xx"""
    text = tool("h2load", "-n", str(requests), *more, "http://%s:%d/" % sluice.address).decode()
    assert "%d succeeded, 0 failed" % requests in text and "status codes: %d 2xx" % requests in text, text
    return text


class RealClients(Scenario):
    def test_curl(self):
        with Origin(echo) as origin, Sluice.before(origin) as sluice:
            self.assertEqual(curl(sluice, "/x?y=1"), b"GET /x?y=1 ")
            body = os.urandom(300_000)
            self.assertEqual(curl(sluice, "/up", "--data-binary", "@-", data=body), b"POST /up " + body)
            head = curl(sluice, "/h", "-I").decode()
            self.assertRegex(head, r"^HTTP/2 200 ")
            self.assertIn("content-length: 8", head)
            entry = sluice.await_log(target="/x?y=1")
            self.assertEqual((entry["protocol"], entry["status"]), ("HTTP/2.0", 200))
            request = origin.requests[0]
            self.assertEqual(request.get("host"), "127.0.0.1:%d" % sluice.address[1])
            self.assertIn("2.0 sluice", request.get("via") or "2.0 sluice")
            self.assertIsNone(request.get("connection"))

    def test_curl_waits_for_100(self):
        with Origin(echo) as origin, Sluice.before(origin) as sluice:
            said = curl(sluice, "/", "-v", "-H", "Expect: 100-continue", "--data-binary", "@-", data=b"x" * 3000)
            self.assertIn(b"HTTP/2 100", said)
            self.assertEqual(len(origin.requests[0].body), 3000)

    def test_nghttp_takes_pushed_priorities_and_trailers(self):
        with Origin(lambda r: answer(b"t" * 10, chunked=True)[:-2] + b"X-Sum: 7\r\n\r\n") as origin, Sluice.before(origin) as sluice:
            said = tool("nghttp", "-v", "-m", "5", "-H", "priority: u=1, i", "--trailer", "x-late: 1", "-d", "/dev/null",
                        "http://%s:%d/t" % sluice.address).decode()
            self.assertIn("x-sum: 7", said)
            self.assertEqual(len(origin.requests), 5)

    def test_h2load(self):
        with Origin(lambda r: answer(b"0123456789" * 100)) as origin, Sluice.before(origin) as sluice:
            h2load(sluice, 2000, "-c", "4", "-m", "32")
            sluice.await_metric("sluice_http2_streams_total", 2000, end="answered")
            sluice.await_metric("sluice_http2_connections", 0)

    def test_h2load_posts(self):
        with Origin(lambda r: answer(b"%d" % len(r.body))) as origin, Sluice.before(origin) as sluice:
            path = sluice.dir + "/body"
            with open(path, "wb") as f:
                f.write(os.urandom(100_000))
            h2load(sluice, 200, "-c", "2", "-m", "16", "-d", path)
            self.assertEqual({len(r.body) for r in origin.requests}, {100_000})

    def test_a_large_file(self):
        data = os.urandom(3_000_000)
        sluice = Sluice("""
listeners: [ { address: 127.0.0.1:0 } ]
routes: [ { path: /, static: { root: $dir/www } } ]
""")
        os.mkdir(sluice.dir + "/www")
        with open(sluice.dir + "/www/big", "wb") as f:
            f.write(data)
        with sluice:
            self.assertEqual(hashlib.md5(curl(sluice, "/big")).digest(), hashlib.md5(data).digest())
            self.assertEqual(curl(sluice, "/big", "-r", "100000-200000"), data[100000:200001])

    def test_uwsgi(self):
        def app(request):
            self.assertEqual(request.vars["SERVER_PROTOCOL"], "HTTP/2.0")
            return b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
        with UwsgiOrigin(app) as origin, Sluice.before(origin, protocol="uwsgi") as sluice:
            self.assertEqual(curl(sluice, "/", "--data-binary", "abc"), b"ok")
            self.assertEqual(origin.requests[0].body, b"abc")

    def test_http1_goes_on_beside_it(self):
        with Origin(echo) as origin, Sluice.before(origin) as sluice:
            client = sluice.client()
            self.assertEqual(client.get("/a").body, b"GET /a ")
            self.assertEqual(curl(sluice, "/b"), b"GET /b ")
            self.assertEqual(client.get("/c", "PUT").status, 200)

    def test_it_may_be_off(self):
        with Origin(echo) as origin, Sluice.before(origin, listener="limits: { streams: off }") as sluice:
            with sluice.client() as client:
                client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
                self.assertEqual(client.response().status, 505)


class OverTls(Scenario):
    def test_alpn_chooses_it(self):
        with Origin(echo) as origin, Sluice.before(origin, listener="tls: { self_signed: true }") as sluice:
            url = "https://%s:%d/x" % sluice.address
            said = tool("curl", "-sSik", "--http2", "--data-binary", "@-", url, data=b"a" * 200_000)
            self.assertTrue(said.startswith(b"HTTP/2 200"), said[:100])
            self.assertTrue(said.endswith(b"POST /x " + b"a" * 200_000))
            self.assertTrue(tool("curl", "-sSik", "--http1.1", url).startswith(b"HTTP/1.1 200"))
            self.assertEqual([r.get("x-forwarded-proto") for r in origin.requests], ["https", "https"])
            self.assertEqual([sluice.await_log(protocol=p)["scheme"] for p in ("HTTP/2.0", "HTTP/1.1")], ["https", "https"])
            text = tool("h2load", "-n", "500", "-c", "3", "-m", "20", url).decode()
            self.assertIn("500 succeeded, 0 failed", text)
            self.assertIn("Application protocol: h2", text)

    def test_it_may_be_off(self):
        with Origin(echo) as origin, Sluice.before(origin, listener="tls: { self_signed: true }, limits: { streams: off }") as sluice:
            self.assertTrue(tool("curl", "-sSik", "--http2", "https://%s:%d/x" % sluice.address).startswith(b"HTTP/1.1 200"))

    def test_the_preface_without_alpn_is_no_request(self):
        with Origin(echo) as origin, Sluice.before(origin, listener="tls: { self_signed: true }") as sluice:
            with SecureClient(sluice.address) as client:
                client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
                self.assertEqual(client.response().status, 505)


class Streams(Scenario):
    def test_answers_come_as_they_are_ready(self):
        gate = threading.Event()

        def serve(request):
            if request.target == "/slow":
                gate.wait(PATIENCE)
            return echo(request)
        with Origin(serve) as origin, Sluice.before(origin) as sluice, H2Client(sluice.address) as client:
            slow = client.request("/slow")
            for n in range(5):
                self.assertEqual(client.get("/%d" % n).body, b"GET /%d " % n)
            gate.set()
            self.assertEqual(client.answer(slow).body, b"GET /slow ")
            self.assertEqual(origin.count, 2)

    def test_one_byte_at_a_time(self):
        with Origin(echo) as origin, Sluice.before(origin) as sluice, H2Client(sluice.address, preface=False) as client:
            stream, head = client.head("/x", "POST", end=False)
            for byte in b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0, b"\0\1\0\0\0\0") + head + frame(DATA, END, stream, b"abc"):
                client.send(bytes([byte]))
            self.assertEqual(client.answer(stream).body, b"POST /x abc")

    def test_a_stream_that_opens_no_window_stops_no_other(self):
        big = os.urandom(8_000_000)
        serve = lambda r: answer(big if r.target == "/big" else b"small")
        with Origin(serve) as origin, Sluice.before(origin, upstream="buffering: { response: off }") as sluice:
            with H2Client(sluice.address) as client:
                large = client.request("/big")
                client.hear_until(lambda: len(client.streams[large].body) == 65_535)
                client.open_window(0, 1 << 24)
                before = sluice.rss()
                for n in range(20):
                    self.assertEqual(client.get("/%d" % n).body, b"small")
                self.assertEqual(len(client.streams[large].body), 65_535)
                self.assertLess(sluice.rss() - before, 4 << 20)
                client.open_window(large, 1 << 24)
                self.assertEqual(hashlib.md5(client.answer(large).body).digest(), hashlib.md5(big).digest())

    def test_answers_take_turns(self):
        serve = lambda r: answer(b"x" * 2_000_000)
        with Origin(serve) as origin, Sluice.before(origin) as sluice, H2Client(sluice.address, window=0) as client:
            a, b = client.request("/a"), client.request("/b")
            client.hear_until(lambda: client.streams[a].status and client.streams[b].status)
            client.send(*(frame(WINDOW, 0, s, word(1 << 24)) for s in (0, a, b)))
            client.answer(a)
            self.assertGreater(len(client.streams[b].body), 500_000)
            self.assertEqual(len(client.answer(b).body), 2_000_000)

    def test_an_upload_that_nobody_reads_stops_at_its_window(self):
        with Origin() as origin, Sluice.before(origin, upstream="buffering: { request: off }") as sluice:
            with H2Client(sluice.address) as client:
                stream = client.request("/up", "POST", end=False)
                sent = 0
                connection = origin.accept()
                connection.head()
                client.hear_until(lambda: client.settings)
                window = client.settings[4]
                while sent + 16384 <= window:
                    client.data(stream, b"u" * 16384)
                    sent += 16384
                client.echo()  # it has all of that
                connection.send(answer(b"enough"))
                self.assertEqual(client.answer(stream).body, b"enough")

    def test_trailers_and_103(self):
        def serve(request):
            self.assertEqual(request.trailers, [("x-sum", "9")])
            return (b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n", answer(b"body", chunked=True)[:-2] + b"X-Sum: 7\r\n\r\n")
        with Origin(serve) as origin, Sluice.before(origin, upstream="buffering: { request: off }") as sluice, H2Client(sluice.address) as client:
            stream = client.request("/", "POST", end=False, headers=[("te", "trailers")])
            client.data(stream, b"abc")
            client.send(header_frames(stream, [["x-sum", ["9"]]], True))
            got = client.answer(stream)
            self.assertEqual((got.statuses, got.body, got.blocks), ([103, 200], b"body", 3))

    def test_a_client_that_takes_its_request_back(self):
        with Origin() as origin, Sluice.before(origin) as sluice, H2Client(sluice.address) as client:
            stream = client.request("/gone")
            connection = origin.accept()
            connection.request()
            client.reset(stream)
            connection.at_end()
            entry = sluice.await_reason(499, target="/gone")
            self.assertEqual(entry["reason"], "client_reset")
            client.echo()
            sluice.await_metric("sluice_http2_streams_total", 1, end="client_reset")

    def test_an_early_answer(self):
        with Origin(echo) as origin, Sluice.before(origin, listener="limits: { body: 1000B }") as sluice, H2Client(sluice.address) as client:
            stream = client.request("/", "POST", end=False)
            client.data(stream, b"x" * 2000)
            client.hear_until(lambda: client.streams[stream].reset is not None)
            self.assertEqual((client.streams[stream].status, client.streams[stream].ended, client.streams[stream].reset), (413, True, NO_ERROR))
            client.data(stream, b"on its way")
            self.assertEqual(client.get("/next").status, 200)

    def test_an_answer_that_breaks_off(self):
        with Origin(lambda r: (answer(b"x" * 100)[:-50], None)) as origin, \
                Sluice.before(origin, upstream="buffering: { response: off }") as sluice, H2Client(sluice.address) as client:
            self.assertEqual(client.get("/").reset, INTERNAL_ERROR)
            client.echo()

    def test_one_more_than_the_limit(self):
        with Origin() as origin, Sluice.before(origin, listener="limits: { streams: 3 }") as sluice, H2Client(sluice.address) as client:
            for n in range(3):
                client.request("/%d" % n)
            for _ in range(3):
                origin.accept().request()
            late = client.request("/3")
            self.assertEqual(client.answer(late).reset, REFUSED_STREAM)  # it had not acknowledged the limit
            client.echo()
            client.request("/4")
            self.assertEqual(client.at_end(), PROTOCOL_ERROR)
            sluice.await_metric("sluice_limit_hits_total", 2, limit="streams")
            sluice.await_metric("sluice_http2_streams_total", 1, end="refused")

    def test_the_limit_of_requests_a_connection(self):
        with Origin() as origin, Sluice.before(origin, listener="limits: { requests: 2 }") as sluice, H2Client(sluice.address) as client:
            one, two = client.request("/1"), client.request("/2")
            connections = [origin.accept() for _ in range(2)]
            client.hear_until(lambda: client.goaways)
            self.assertEqual(client.goaways, [(two, NO_ERROR)])
            late = client.request("/3")
            self.assertEqual(client.answer(late).reset, REFUSED_STREAM)
            for connection in connections:
                connection.request()
                connection.send(answer(b"ok"))
            self.assertEqual([client.answer(s).body for s in (one, two)], [b"ok", b"ok"])
            self.assertEqual(client.at_end(), NO_ERROR)

    def test_the_ceiling_of_connections(self):
        with Origin() as origin, Sluice.before(origin, listener="limits: { connections: 1 }") as sluice, H2Client(sluice.address) as idle:
            idle.echo()
            with H2Client(sluice.address) as busy:  # the idle one makes room
                self.assertEqual(idle.at_end(), NO_ERROR)
                waits = busy.request("/waits")
                connection = origin.accept()
                connection.request()
                with H2Client(sluice.address) as third:
                    self.assertEqual(third.get("/").status, 503)
                    self.assertEqual(third.at_end(), NO_ERROR)
                connection.send(answer(b"ok"))
                self.assertEqual(busy.answer(waits).body, b"ok")
            self.assertEqual(sluice.await_reason(503)["reason"], "connections")

    def test_heads_too_large_are_answered(self):
        with Origin(echo) as origin, Sluice.before(origin) as sluice, H2Client(sluice.address) as client:
            self.assertEqual(client.get("/", headers=[("x-%d" % n, "v" * 1000) for n in range(100)]).status, 431)
            self.assertEqual(client.get("/", headers=[("x-%d" % n, "v") for n in range(250)]).status, 431)
            self.assertEqual(client.get("/").status, 200)
            sluice.await_metric("sluice_limit_hits_total", 1, limit="header_count")
            self.assertEqual(sluice.await_reason(431)["protocol"], "HTTP/2.0")


class Windows(Scenario):
    """Bytes that come are those that the window has room for, whatever moves it (RFC 9113 6.5.3, 6.9)."""

    def play(self, *steps, window=None):
        """Steps: the request, or a frame, and how many bytes there are in all then, and no more."""
        with Origin(lambda r: answer(b"0123456789")) as origin, Sluice.before(origin) as sluice, H2Client(sluice.address, window) as client:
            body = lambda: len(client.streams.setdefault(1, Stream()).body)
            for n, (step, bytes_then) in enumerate(steps):
                if step == "GET":
                    client.request("/")
                    client.hear_until(lambda: client.streams[1].status)
                else:
                    client.send(step)
                client.hear_until(lambda: body() >= bytes_then)
                for last in "ab":  # an ack overtakes DATA, but not that of a PING before it
                    client.echo(b"%7d%s" % (n, last.encode()))
                self.assertEqual(body(), bytes_then)

    def initial(self, *sizes):
        return frame(SETTINGS, 0, 0, b"".join(b"\0\4" + word(size) for size in sizes))

    def open(self, by):
        return frame(WINDOW, 0, 1, word(by))

    def test_a_window_of_one(self):
        self.play(("GET", 1), (self.open(2), 3), window=1)

    def test_the_last_of_several_values_counts(self):
        self.play((self.initial(100, 1), 0), ("GET", 1))

    def test_settings_move_the_windows_of_open_streams(self):
        self.play(("GET", 0), (self.initial(1), 1), window=0)

    def test_a_window_may_be_negative(self):
        self.play(("GET", 3), (self.initial(2), 3), (self.open(2), 4), (self.open(50), 10), window=3)


class Deadlines(Scenario):
    def test_idle(self):
        with Origin(echo) as origin, Sluice.before(origin, listener="timeouts: { idle: 300ms }") as sluice, H2Client(sluice.address) as client:
            client.get("/")
            self.assertEqual(client.at_end(), NO_ERROR)
            sluice.await_metric("sluice_connections_ended_total", 1, by="timeout")

    def test_a_head_that_does_not_end(self):
        with Origin(echo) as origin, Sluice.before(origin, listener="timeouts: { header: 300ms }") as sluice, H2Client(sluice.address) as client:
            client.echo()
            client.send(frame(HEADERS, END, 1, hpack([[":method", ["GET"]]])))
            client.at_end()
            self.assertEqual(sluice.await_reason(408)["reason"], "header_timeout")

    def test_a_body_that_does_not_come(self):
        with Origin(echo) as origin, Sluice.before(origin, listener="timeouts: { body: 300ms }") as sluice, H2Client(sluice.address) as client:
            slow, other = client.request("/", "POST", end=False), client.request("/other")
            self.assertEqual(client.answer(other).status, 200)
            self.assertEqual(client.answer(slow).status, 408)

    def test_a_window_that_is_never_opened(self):
        with Origin(lambda r: answer(b"x" * 10)) as origin, Sluice.before(origin, listener="timeouts: { send: 300ms }") as sluice:
            with H2Client(sluice.address, window=0) as client:
                stream = client.request("/starved")
                client.hear_until(lambda: client.streams[stream].reset is not None)
                self.assertEqual(sluice.await_log(target="/starved")["reason"], "client_send_timeout")
                client.echo()  # the others go on

    def test_a_client_that_reads_nothing(self):
        with Origin(lambda r: answer(b"x" * 30_000_000)) as origin, Sluice.before(origin, listener="timeouts: { send: 300ms }") as sluice:
            with H2Client(sluice.address, window=LARGE) as client:
                client.open_window(0, LARGE - 65_535)
                client.request("/never")
                self.assertEqual(sluice.await_log(target="/never")["reason"], "client_send_timeout")
                sluice.await_metric("sluice_connections_ended_total", 1, by="timeout")

    def test_a_silent_client_is_asked(self):
        with Origin() as origin, Sluice.before(origin, listener="timeouts: { ping: 300ms }") as sluice:
            with H2Client(sluice.address) as client:
                client.request("/waits")
                connection = origin.accept()
                connection.request()
                client.hear_until(lambda: len(client.pings) == 3)  # and it answers
                client.answers_pings = False
                client.at_end()
                connection.at_end()
                self.assertEqual(sluice.await_log(target="/waits")["reason"], "client_timeout")


class Strict(threading.Thread):
    """Asks and asks, and goes to another connection when it is told to; anything but 200 is a fault."""

    def __init__(self, sluice):
        super().__init__(daemon=True)
        self.address, self.client, self.done, self.moved, self.fault, self.over = sluice.address, H2Client(sluice.address), 0, 0, None, False
        self.start()

    def ask(self):
        try:
            stream = self.client.request("/strict")
            if self.client.answer(stream).reset == REFUSED_STREAM:
                return
            assert self.client.streams[stream].status == 200, self.client.streams[stream].status
            self.done += 1
        except (Ended, ConnectionError):
            assert self.client.goaways and self.client.goaways[-1][0] < stream, "lost without a word: %r" % self.client.goaways

    def run(self):
        try:
            while not self.over:
                if self.client.goaways:
                    self.client.sock.close()
                    self.client, self.moved = H2Client(self.address), self.moved + 1
                self.ask()
        except BaseException as fault:
            self.fault = fault

    def end(self):
        self.over = True
        self.join(PATIENCE)
        self.client.sock.close()
        if self.fault:
            raise self.fault


class Life(Scenario):
    def test_reloads_are_not_noticed(self):
        with Origin(echo) as origin, Sluice.before(origin) as sluice:
            clients = [Strict(sluice) for _ in range(3)]
            for _ in range(5):
                code, out, err = sluice.cli("reload")
                self.assertEqual(code, 0, out + err)
            eventually(lambda: all(c.done > 50 for c in clients), "requests of all")
            for client in clients:
                client.end()
                self.assertEqual(client.moved, 0)

    def test_upgrades_lose_nothing(self):
        with Origin(echo) as origin, Sluice.before(origin) as sluice:
            clients = [Strict(sluice) for _ in range(3)]
            for n in range(2):
                code, out, err = sluice.cli("upgrade")
                self.assertEqual(code, 0, out + err)
                eventually(lambda: all(c.moved > n for c in clients), "the farewell")
            done = [c.done for c in clients]
            eventually(lambda: all(c.done > before + 20 for c, before in zip(clients, done)), "requests of all")
            for client in clients:
                client.end()

    def test_a_stop_lets_what_was_accepted_end(self):
        with Origin(echo) as origin, Sluice.before(origin, top="drain: { min: 500ms, quiet: 300ms, max: 5s, deadline: 8s }") as sluice:
            clients = [Strict(sluice) for _ in range(3)]
            eventually(lambda: all(c.done > 50 for c in clients), "requests of all")
            sluice.signal(signal.SIGTERM)
            eventually(lambda: all(c.moved or c.fault for c in clients), "the farewell")
            for client in clients:  # before it accepts no more
                client.end()
            self.assertEqual(sluice.wait(), 0)


class Drain(Scenario):
    def test_goaway_in_two_steps(self):
        with Origin() as origin, Sluice.before(origin) as sluice, H2Client(sluice.address) as client:
            first = client.request("/1")
            one = origin.accept()
            one.request()
            client.answers_pings = False
            sluice.signal(signal.SIGTERM)
            client.hear_until(lambda: client.pings)
            self.assertEqual(client.goaways, [(LARGE, NO_ERROR)])
            second = client.request("/2")  # it had not heard of it
            two = origin.accept()
            two.request()
            client.send(frame(PING, 1, 0, client.pings[0]))
            client.hear_until(lambda: len(client.goaways) == 2)
            self.assertEqual(client.goaways[1], (second, NO_ERROR))
            late = client.request("/3")
            self.assertEqual(client.answer(late).reset, REFUSED_STREAM)
            one.send(answer(b"one"))
            two.send(answer(b"two"))
            self.assertEqual(client.answer(first).body, b"one")
            self.assertEqual(client.answer(second).body, b"two")
            client.at_end()
            self.assertEqual(sluice.wait(), 0)

    def test_idle_connections_end_and_new_ones_are_served(self):
        with Origin(echo) as origin, Sluice.before(origin, top="drain: { min: 500ms, quiet: 400ms, max: 5s, deadline: 8s }") as sluice:
            with H2Client(sluice.address) as client:
                client.get("/")
                sluice.signal(signal.SIGTERM)
                client.at_end()
                self.assertEqual([last for last, _ in client.goaways], [LARGE, 1])
            with H2Client(sluice.address) as client:
                self.assertEqual(client.get("/new").status, 200)
                client.at_end()
            self.assertEqual(sluice.wait(), 0)

    def test_nothing_is_lost_by_h2load(self):
        with Origin(lambda r: answer(b"ok")) as origin, Sluice.before(origin) as sluice:
            for _ in range(5):
                h2load(sluice, 500, "-c", "2", "-m", "20")
            sluice.await_metric("sluice_dropped_total", 0)


class Abuse(Scenario):
    """Each ends with GOAWAY(ENHANCE_YOUR_CALM), is counted, and costs nobody else anything."""

    def play(self, limit, flood, **more):
        with Origin() as origin, Sluice.before(origin, **more) as sluice, H2Client(sluice.address) as client:
            try:
                flood(client)
            except ConnectionError:
                pass  # it has seen enough
            self.assertEqual(client.at_end(), CALM)
            sluice.await_metric("sluice_limit_hits_total", 1, limit=limit)
            with H2Client(sluice.address) as other:
                stream = other.request("/after")
                while True:
                    connection = origin.accept()
                    if connection.request().target == "/after":
                        break
                connection.send(answer(b"ok"))
                self.assertEqual(other.answer(stream).body, b"ok")
            eventually(lambda: sluice.metric("sluice_http_requests_in_flight") == 0, "the end of what was reset")

    def test_rapid_reset(self):
        def flood(client):
            client.send(*(client.head("/reset")[1] + frame(RST, 0, 2 * n + 1, word(CANCEL)) for n in range(400)))
        self.play("h2_resets", flood)

    def test_malformed_requests(self):
        self.play("h2_resets", lambda client: client.send(*(client.head("/", headers=[("Upper", "x")])[1] for _ in range(400))))

    def test_pings(self):
        self.play("h2_control", lambda client: client.send(frame(PING, 0, 0, b"12345678") * 3000))

    def test_settings(self):
        self.play("h2_control", lambda client: client.send(frame(SETTINGS, 0, 0, b"\0\4\0\0\xff\xff") * 3000))

    def test_empty_data(self):
        def flood(client):
            stream = client.request("/empty", "POST", end=False)
            client.send(frame(DATA, 0, stream) * 3000)
        self.play("h2_control", flood)

    def test_data_on_a_stream_that_was_reset(self):
        def flood(client):
            stream = client.request("/large", "POST", end=False, headers=[("content-length", "2000")])
            self.assertEqual(client.answer(stream).status, 413)
            client.send(frame(DATA, 0, stream) * 3000)
        self.play("h2_control", flood, listener="limits: { body: 1000B }")

    def test_unknown_frames(self):
        self.play("h2_control", lambda client: client.send(frame(77, 0, 0, b"?") * 3000))

    def test_continuations(self):
        self.play("h2_continuations", lambda client: client.send(
            frame(HEADERS, END, 1, hpack([[":method", ["GET"]]])), frame(CONT, 0, 1) * 3000))

    def test_a_bomb_of_headers(self):
        # One long field into the table, then a byte each (RFC 7541 §7.3).
        block = hpack([[":method", ["GET"]], [":scheme", ["http"]], [":path", ["/"]], [":authority", ["a"]]])
        block += b"\x40\x01a\x7f\x81\x1e" + b"b" * 4000 + b"\xbe" * 10_000
        self.play("headers", lambda client: client.send(frame(HEADERS, END | END_HEADERS, 1, block)))

