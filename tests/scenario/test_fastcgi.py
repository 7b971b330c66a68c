"""FastCGI towards an application: records, variables, answers that are odd or cut, and a real php-fpm."""
import json
import shutil
import signal
import tempfile
import threading

from fastcgi import STDERR, STDOUT, FastcgiOrigin, PhpFpm, end, record, reply
from harness import Scenario, Sluice
from wire import Ended, chunks, eventually


def echo(request):
    return reply(request.body, "X-Length: " + (request.vars["CONTENT_LENGTH"] or "none"))


def before(*origins, upstream="", **more):
    return Sluice.before(*origins, protocol="fastcgi", upstream=upstream, **more)


class Requests(Scenario):
    def seen(self, target="/", method="GET", host="example.com", settings="", **more):
        upstream = "fastcgi: { %s }" % settings if settings else ""
        with FastcgiOrigin(echo) as origin, before(origin, upstream=upstream) as sluice:
            self.assertEqual(sluice.get(target, method, host=host, **more).status, 200)
            return origin.requests[0]

    def test_the_variables(self):
        request = self.seen("/a%20b/?x=1&y=%20", host="shop.example:8080", headers={"Accept": "text/html", "X-Own-Field": "v"})
        expected = {"QUERY_STRING": "x=1&y=%20", "REQUEST_METHOD": "GET", "REQUEST_URI": "/a%20b/?x=1&y=%20", "PATH_INFO": "/a b/",
                    "SCRIPT_NAME": "", "SERVER_PROTOCOL": "HTTP/1.1", "REQUEST_SCHEME": "http", "REMOTE_ADDR": "127.0.0.1",
                    "HTTP_HOST": "shop.example:8080", "HTTP_ACCEPT": "text/html", "HTTP_X_OWN_FIELD": "v",
                    "HTTP_X_FORWARDED_FOR": "127.0.0.1", "GATEWAY_INTERFACE": "CGI/1.1", "CONTENT_LENGTH": ""}
        for name, value in expected.items():
            self.assertEqual(request.vars.get(name), value, name)
        for name in ("SERVER_NAME", "SERVER_PORT", "REMOTE_PORT", "SERVER_SOFTWARE"):
            self.assertTrue(request.vars.get(name), name)
        self.assertNotIn("HTTP_CONNECTION", request.vars)

    def test_scripts(self):
        request = self.seen("/blog.php/2024?x", settings="root: /app/public/, params: { APP_ENV: prod }")
        expected = {"SCRIPT_NAME": "/blog.php", "SCRIPT_FILENAME": "/app/public/blog.php", "PATH_INFO": "/2024",
                    "DOCUMENT_ROOT": "/app/public", "APP_ENV": "prod", "REQUEST_URI": "/blog.php/2024?x"}
        for name, value in expected.items():
            self.assertEqual(request.vars.get(name), value, name)
        request = self.seen("/any/thing", settings="root: /app, index: front.php")
        self.assertEqual((request.vars["SCRIPT_FILENAME"], request.vars["PATH_INFO"]), ("/app/front.php", ""))

    def test_bodies(self):
        for body, records in ((b"a=1&b=2", 1), (b"x" * 200_000, None)):
            request = self.seen("/", "POST", body=body)
            self.assertEqual((request.body, request.vars["CONTENT_LENGTH"]), (body, str(len(body))))
            self.assertNotIn("HTTP_CONTENT_LENGTH", request.vars)
            if records:
                self.assertEqual(request.records, records)

    def test_a_chunked_body_is_unchunked(self):
        for buffering in ("on", "off"):
            with FastcgiOrigin(echo) as origin, before(origin, route="buffering: " + buffering) as sluice:
                client = sluice.client()
                client.ask("/", "POST", headers={"Transfer-Encoding": "chunked"})
                client.send(chunks(b"one", b"two"))
                response = client.response()
                self.assertEqual((response.body, response.get("x-length")), (b"onetwo", "6"))

    def test_what_a_client_may_not_set(self):
        request = self.seen(headers=[("Proxy", "http://evil"), ("X_Under_Score", "1"), ("Remote_User", "root"), ("HTTPS", "on"),
                                     ("Script-Filename", "/etc/passwd")], settings="root: /app")
        for name in ("HTTP_PROXY", "HTTP_X_UNDER_SCORE", "HTTP_REMOTE_USER", "REMOTE_USER", "HTTPS"):
            self.assertNotIn(name, request.vars)
        self.assertEqual(request.vars["SCRIPT_FILENAME"], "/app/index.php")

    def test_a_variable_that_fits_no_record(self):
        with FastcgiOrigin(echo) as origin, before(origin, listener="limits: { headers: 200KiB }") as sluice:
            self.assertEqual(sluice.get("/", headers={"X-A": "a" * 66_000}).status, 431)
            self.assertEqual(sluice.get("/", headers=[("X-%d" % i, "a" * 30_000) for i in range(5)]).status, 200)
            self.assertEqual(origin.requests[0].vars["HTTP_X_4"], "a" * 30_000)


class Answers(Scenario):
    def test_in_many_records(self):
        replies = {"/pieces": reply("hello", "Status: 404 Not Found\r\nX-A: b", piece=1), "/found": reply("", "Location: /there"),
                   "/padded": record(STDOUT, "A: b\r\n\r\nhello", 200) + end(), "/large": reply(b"x" * 3_000_000)}
        with FastcgiOrigin(lambda r: replies[r.target]) as origin, before(origin) as sluice:
            client = sluice.client()
            response = client.get("/pieces")
            self.assertEqual((response.status, response.get("x-a"), response.body), (404, "b", b"hello"))
            self.assertFalse(response.has("status"))
            self.assertEqual(client.get("/found").status, 302)
            self.assertEqual(client.get("/padded").body, b"hello")
            self.assertEqual(client.get("/large").body, b"x" * 3_000_000)

    def test_half_an_answer_is_cut(self):
        halves = {"/head": record(STDOUT, "A: b"), "/body": record(STDOUT, "A: b\r\n\r\nhel"),
                  "/no-end": record(STDOUT, "A: b\r\n\r\nhello") + record(STDOUT), "/short": reply("x", "Content-Length: 10")}
        for buffering in ("on", "off"):
            with FastcgiOrigin(lambda r: (halves[r.target], None)) as origin, before(origin, route="buffering: " + buffering) as sluice:
                self.assertEqual(sluice.get("/head").status, 502)
                for target in list(halves)[1:]:
                    with sluice.client() as client:
                        try:
                            self.assertEqual(client.get(target).status, 502, target)
                        except Ended:
                            pass

    def test_stderr_goes_to_the_log_in_one_line(self):
        text = "PHP Warning: \x1b[31mSECRET\x00\n second " + "x" * 50
        with FastcgiOrigin(lambda r: reply("fine", errors=text)) as origin, before(origin, upstream="fastcgi: { stderr: 40B }") as sluice:
            response = sluice.get("/page")
            self.assertEqual((response.status, response.body), (200, b"fine"))
            lines = eventually(lambda: [l for l in sluice.stderr().splitlines() if "SECRET" in l], "the line")
            self.assertIn('upstream app %s says "PHP Warning: \\x1b[31mSECRET\\x00\\n second xxxxxx... (44 bytes more)" (GET /page)'
                          % origin.endpoint, lines[0])

    def test_stderr_alone_is_no_answer(self):
        with FastcgiOrigin(lambda r: record(STDERR, "Fatal") + end(0, 255)) as origin, before(origin) as sluice:
            self.assertEqual(sluice.get("/").status, 502)
            eventually(lambda: 'says "Fatal"' in sluice.stderr(), "the line")

    def test_what_is_refused_is_asked_elsewhere_or_told(self):
        with FastcgiOrigin(lambda r: end(2)) as full, before(full, upstream="retry: { attempts: 1 }") as sluice:
            response = sluice.get("/", "POST", body="x")
            self.assertEqual((response.status, bool(response.get("retry-after"))), (503, True))
            self.assertEqual(sluice.await_reason(503)["reason"], "upstream_overloaded")
        with FastcgiOrigin(lambda r: end(2)) as full, FastcgiOrigin(echo) as other, before(full, other) as sluice:
            for _ in range(4):
                response = sluice.get("/", "POST", body="x")
                self.assertEqual((response.status, response.body), (200, b"x"))
            self.assertGreater(len(full.requests), 0)
            self.assertEqual(len(other.requests), 4)
        with FastcgiOrigin(lambda r: end(3)) as role, before(role, upstream="retry: { attempts: 1 }") as sluice:
            self.assertEqual(sluice.get("/").status, 502)
            self.assertEqual(sluice.await_reason(502)["reason"], "upstream_unsupported")


class Connections(Scenario):
    def test_kept_or_not(self):
        for keep, connections in (("on", 1), ("off", 3)):
            with FastcgiOrigin(echo) as origin, before(origin, upstream="fastcgi: { keep: %s }" % keep) as sluice:
                client = sluice.client()
                for n in range(3):
                    self.assertEqual(client.get("/", "PUT", body=str(n)).body, str(n).encode())
                self.assertEqual((origin.count, origin.requests[0].keeps), (connections, keep == "on"))

    def test_what_comes_behind_the_end_reaches_nobody(self):
        poisoned = reply("fine") + reply("poison")
        with FastcgiOrigin(lambda r: poisoned if r.target == "/1" else reply("own")) as origin, \
                before(origin, upstream="fastcgi: { keep: on }") as sluice:
            client = sluice.client()
            self.assertEqual([client.get(t).body for t in ("/1", "/2", "/3")], [b"fine", b"own", b"own"])
            self.assertEqual(origin.count, 2)

    def test_a_kept_connection_that_was_closed_loses_nothing(self):
        with FastcgiOrigin() as origin, before(origin, upstream="fastcgi: { keep: on }, pool: { idle: 10s, unsafe_idle: 10s }") as sluice:
            client = sluice.client()
            for method in ("GET", "POST"):
                client.ask("/", method, body="x" if method == "POST" else None)
                with origin.accept() as connection:
                    connection.request()
                    connection.send(reply("fine"))
                    self.assertEqual(client.response().body, b"fine")

    def test_a_checked_application(self):
        with FastcgiOrigin(lambda r: reply("well", "Status: 200" if r.target == "/health" else "Status: 500")) as origin, \
                before(origin, upstream="health: { path: /health, interval: 50ms, fast_interval: 50ms, body: well, initial: down }") as sluice:
            eventually(lambda: sluice.metric("sluice_upstream_checks_total", result="success") >= 1, "a check")
            eventually(lambda: sluice.get("/").status == 500, "the application")
            self.assertEqual(origin.requests[0].vars["HTTP_USER_AGENT"], "sluice-health")


SCRIPTS = {
    "index.php": """<?php
header('X-Script: ' . $_SERVER['SCRIPT_NAME']);
echo json_encode(['method' => $_SERVER['REQUEST_METHOD'], 'uri' => $_SERVER['REQUEST_URI'], 'get' => $_GET, 'post' => $_POST,
                  'info' => $_SERVER['PATH_INFO'] ?? '', 'agent' => $_SERVER['HTTP_USER_AGENT'] ?? '', 'env' => $_SERVER['APP_ENV'] ?? '']);""",
    "echo.php": "<?php header('Content-Type: application/octet-stream'); echo file_get_contents('php://input');",
    "status.php": "<?php http_response_code(418); header('X-A: 1'); header('X-A: 2', false); setcookie('a', 'b'); echo 'teapot';",
    "large.php": "<?php for ($i = 0; $i < 64; ++$i) echo str_repeat(chr(65 + $i % 26), 65536);",
    "warn.php": "<?php error_log('remembered'); echo 'warned';",
    "fatal.php": "<?php ini_set('display_errors', '0'); nothing_of_this_name();",
    "moved.php": "<?php header('Location: /elsewhere');",
    "once.php": """<?php  // a signal to php-fpm may interrupt the wait for the lock
while (@file_put_contents(__DIR__ . '/done', $_POST['n'] . "\\n", FILE_APPEND | LOCK_EX) === false);
echo $_POST['n'];""",
}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class Php(Scenario):
    unix, keep = True, "off"

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="php.")
        self.addCleanup(shutil.rmtree, self.folder, True)
        self.fpm = PhpFpm(self.folder, SCRIPTS, unix=self.unix).start()
        self.addCleanup(lambda: self.fpm.process.poll() is None and self.fpm.stop(signal.SIGTERM))
        self.sluice = before(self.fpm, upstream="fastcgi: { root: %s, keep: %s, params: { APP_ENV: test } }" % (self.fpm.root, self.keep))
        self.sluice.__enter__()
        self.addCleanup(self.sluice.__exit__, None, None, None)

    def test_pages(self):
        client = self.sluice.client()
        page = client.get("/a/b?x=1", headers={"User-Agent": "me"})
        self.assertEqual((page.status, page.get("x-script")), (200, "/index.php"))
        self.assertEqual(json.loads(page.body), {"method": "GET", "uri": "/a/b?x=1", "get": {"x": "1"}, "post": [], "info": "",
                                                 "agent": "me", "env": "test"})
        page = json.loads(client.get("/index.php/more", "POST", body="p=q", headers=FORM).body)
        self.assertEqual((page["info"], page["post"]), ("/more", {"p": "q"}))
        page = client.get("/status.php")
        self.assertEqual((page.status, page.all("x-a"), page.body), (418, ["1", "2"], b"teapot"))
        self.assertIn("a=b", page.get("set-cookie"))
        self.assertEqual(client.get("/moved.php").status, 302)
        self.assertEqual(client.get("/missing.php").status, 404)
        self.assertEqual(client.get("/status.php", "HEAD").status, 418)
        self.assertEqual(client.get("/status.php").body, b"teapot")

    def test_bodies(self):
        client = self.sluice.client()
        large = bytes(range(256)) * 8192
        for body in (b"", b"short", large):
            self.assertEqual(client.get("/echo.php", "POST", body=body).body, body)
        self.assertEqual(len(client.get("/large.php").body), 64 * 65536)

    def test_stderr(self):
        client = self.sluice.client()
        self.assertEqual(client.get("/warn.php").body, b"warned")
        eventually(lambda: "remembered" in self.sluice.stderr(), "the line")
        self.assertEqual(client.get("/fatal.php").status, 500)

    def test_a_restart_loses_nothing_and_does_nothing_twice(self):
        stop, sent, wrong = threading.Event(), [], []

        def ask(worker):
            client = self.sluice.client()
            while not stop.is_set():
                n = "%d-%d" % (worker, len(sent))
                sent.append(n)
                for method, target, body, wanted in (("POST", "/once.php", "n=" + n, n), ("GET", "/status.php", None, "teapot")):
                    try:
                        response = client.get(target, method, body=body, headers=FORM if body else ())
                        if response.body.decode() != wanted:
                            wrong.append((target, response.status, response.body))
                    except Exception as error:
                        wrong.append((target, error))
                        client = self.sluice.client()
        threads = [threading.Thread(target=ask, args=(n,)) for n in range(3)]
        for thread in threads:
            thread.start()
        try:
            for restart in (lambda: self.fpm.process.send_signal(signal.SIGUSR2), lambda: (self.fpm.stop(), self.fpm.start()), lambda: None):
                before_it = len(sent)
                restart()
                eventually(lambda: len(sent) > before_it + 30, "requests", 60)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        self.assertEqual(wrong, [])
        with open(self.fpm.root + "/done") as f:
            self.assertEqual(sorted(f.read().split()), sorted(sent))


class PhpByTcpKept(Php):
    unix, keep = False, "on"
