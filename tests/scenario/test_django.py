"""The main job: a real Django under a real uWSGI and a real gunicorn (Debian's), with conf/demo/site."""
import hashlib
import hmac
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import unittest

from harness import ROOT, Scenario, Sluice, Stopwatch
from wire import eventually

SITE = ROOT + "/conf/demo/site"


class Application:
    """The server in its own session, on a unix path or a free port."""

    def __init__(self, server, folder, workers=1, unix=True):
        self.log = open(folder + "/app.log", "w")
        if unix:
            self.endpoint = "unix:" + folder + "/app.sock"
            bind = folder + "/app.sock"
        else:
            with socket.create_server(("127.0.0.1", 0)) as s:
                self.endpoint = bind = "127.0.0.1:%d" % s.getsockname()[1]
        if server == "uwsgi":
            command = ["uwsgi-core", "--plugin", "python3", "--socket", bind, "--master", "--die-on-term", "--need-app", "--processes", str(workers),
                       "--chdir", SITE, "--module", "wsgi:application", "--chmod-socket=666"]
        else:
            command = ["gunicorn", "--bind", "unix:" + bind if unix else bind, "--workers", str(workers), "--chdir", SITE, "wsgi:application",
                       "--worker-class", server]
            command += ["--threads", "4"] if server == "gthread" else []
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, start_new_session=True,
                                        env={**os.environ, "DJANGO_SETTINGS_MODULE": "settings", "PYTHONDONTWRITEBYTECODE": "1"})

        def listens():
            assert self.process.poll() is None, open(folder + "/app.log").read()
            try:
                if unix:
                    with socket.socket(socket.AF_UNIX) as s:
                        s.connect(bind)
                else:
                    socket.create_connection((bind.split(":")[0], int(bind.split(":")[1])), 1).close()
                return True
            except OSError:
                return False
        eventually(listens, "the application", 30)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.log.close()


class Cases:
    """Each with every server."""

    unix, workers = True, 1

    def setUp(self):
        self.sluice = Sluice("""
listeners: [ { address: 127.0.0.1:0, trusted_proxies: [ 127.0.0.2/32 ] } ]
routes:
  - { path: /static/, static: { root: %s/static } }
  - { path: /internal/, internal: true, static: { root: $dir/files } }
  - { path: /, upstream: django }
upstreams:
  django: { protocol: %s, endpoints: [ "$endpoint" ] }
""" % (SITE, "uwsgi" if self.server == "uwsgi" else "http1"))
        os.mkdir(self.sluice.dir + "/files")
        with open(self.sluice.dir + "/files/report.txt", "w") as f:
            f.write("the report")
        self.application = Application(self.server, self.sluice.dir, self.workers, self.unix)
        self.addCleanup(self.application.stop)
        text = open(self.sluice.config_file).read().replace("$endpoint", self.application.endpoint)
        with open(self.sluice.config_file, "w") as f:
            f.write(text)
        self.sluice.__enter__()

        def answers():  # it listens before the application is loaded, which takes what it takes
            try:
                return self.sluice.get("/health/").status == 200
            except AssertionError:
                return False
        eventually(answers, "the application's first answer", 60)

    def run(self, result=None):
        before = len(result.errors) + len(result.failures)
        super().run(result)
        failed = len(result.errors) + len(result.failures) > before
        sluice = getattr(self, "sluice", None)
        if sluice and sluice.process and sluice.exit_code is None:
            try:
                sluice.__exit__(AssertionError if failed else None)
            except AssertionError:
                import sys
                result.addError(self, sys.exc_info())

    def test_a_page(self):
        response = self.sluice.get("/", host="example.com")
        self.assertEqual(response.status, 200)
        self.assertIn(b"made for example.com over http", response.body)
        self.assertEqual(self.sluice.get("/", "HEAD", host="example.com").body, b"")

    def test_a_form_with_csrf(self):
        client = self.sluice.client()
        page = client.get("/form/")
        cookie = page.get("set-cookie").split(";")[0]
        token = re.search(rb'name="csrfmiddlewaretoken" value="([^"]+)"', page.body)[1].decode()
        form = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": cookie}
        response = client.get("/form/", "POST", headers=form, body="csrfmiddlewaretoken=%s&name=Ada" % token)
        self.assertEqual(response.status, 200)
        self.assertIn(b"Hello, Ada!", response.body)
        self.assertEqual(client.get("/form/", "POST", headers=form, body="name=Eve").status, 403)

    def test_uploads(self):
        client = self.sluice.client()
        for size in (0, 1, 5000, 3000000):
            body = os.urandom(size)
            self.assertIn(hashlib.sha256(body).hexdigest().encode(), client.get("/upload/", "POST", body=body, headers={"Content-Type": "application/octet-stream"}).body)

    def test_a_chunked_upload_is_not_lost(self):
        from wire import chunks
        client, body = self.sluice.client(), os.urandom(200000)
        client.ask("/upload/", "POST", headers={"Transfer-Encoding": "chunked", "Content-Type": "application/octet-stream"})
        client.send(chunks(body[:100], body[100:150000], body[150000:]))
        self.assertIn(hashlib.sha256(body).hexdigest().encode(), client.response().body)

    def test_a_signed_webhook(self):
        body = b'{"a": 1}\r\n\xff\x00 '
        headers = {"X-Signature": hmac.new(b"webhook key", body, hashlib.sha256).hexdigest(), "Content-Type": "application/json"}
        self.assertEqual(self.sluice.get("/webhook/", "POST", body=body, headers=headers).body, b"verified")

    def test_a_streaming_answer(self):
        response = self.sluice.get("/stream/?pieces=5")
        self.assertEqual(response.body, b"".join(b"piece %d\n" % n for n in range(5)))
        client, watch = self.sluice.client(), Stopwatch()
        client.ask("/stream/?pieces=3&pause=0.5&buffer=no")
        client.take_until("piece 0")
        self.assertLess(watch.seconds, 1.2)
        client.take_until("piece 2")

    def test_a_large_answer(self):
        self.assertEqual(self.sluice.get("/large/?bytes=5000000").body, b"x" * 5000000)

    def test_redirects_name_the_host_as_the_client_knows_it(self):
        response = self.sluice.get("/away/", host="localhost:8080")
        self.assertEqual((response.status, response.get("location")), (302, "http://localhost:8080/"))
        self.assertEqual(self.sluice.get("/form", host="example.com").get("location"), "/form/")

    def test_allowed_hosts(self):
        self.assertEqual(self.sluice.get("/", host="evil.example").status, 400)
        self.assertEqual(self.sluice.get("/", host="example.com", headers={"X-Forwarded-Host": "evil.example"}).status, 200)

    def test_https_is_not_believed_from_anybody(self):
        self.assertIn(b"over http.", self.sluice.get("/", headers={"X-Forwarded-Proto": "https", "X-Forwarded-SSL": "on", "HTTPS": "on"}).body)

    def test_the_environment(self):
        import json
        meta = json.loads(self.sluice.get("/meta/?a=%20b", headers={"X-Own": "v", "Proxy": "evil", "X_Own": "spoofed"}).body)
        self.assertEqual((meta["QUERY_STRING"], meta["HTTP_X_OWN"], meta["HTTP_HOST"], meta["PATH_INFO"]), ("a=%20b", "v", "example.com", "/meta/"))
        self.assertEqual(meta["HTTP_X_FORWARDED_FOR"], "127.0.0.1")
        self.assertNotIn("HTTP_PROXY", meta)

    def test_x_accel_redirect(self):
        response = self.sluice.get("/accel/report.txt")
        self.assertEqual((response.status, response.body, response.has("x-accel-redirect")), (200, b"the report", False))

    def test_static_beside_it(self):
        response = self.sluice.get("/static/demo/style.css")
        self.assertEqual(response.body, open(SITE + "/static/demo/style.css", "rb").read())

    def test_slow_clients_hold_no_worker(self):
        """One worker, ten clients that dribble: an eleventh is served at once."""
        slow = [self.sluice.client() for _ in range(10)]
        for client in slow:
            client.ask("/upload/", "POST", headers={"Content-Length": "1000"})
            client.send("x")
        readers = [self.sluice.client(receive_buffer=4096) for _ in range(3)]
        for client in readers:
            client.ask("/large/?bytes=3000000")
        watch = Stopwatch()
        self.assertEqual(self.sluice.get("/health/").body, b"well\n")
        self.assertLess(watch.seconds, 3)
        for client in readers:
            self.assertEqual(len(client.response().body), 3000000)

    def test_many_at_once_on_one_worker(self):
        statuses = []

        def some():
            with self.sluice.client() as client:
                for _ in range(10):
                    statuses.append(client.get("/health/").status)
        threads = [threading.Thread(target=some) for _ in range(20)]
        for t in threads:
            t.start()
        for t in threads:
            t.join(60)
        self.assertEqual(statuses, [200] * 200)


@unittest.skipUnless(shutil.which("uwsgi-core"), "uwsgi is not installed")
class Uwsgi(Cases, Scenario):
    server = "uwsgi"

    def test_headers_over_its_buffer_size_name_the_cure(self):
        self.assertEqual(self.sluice.get("/", headers={"X-Large": "a" * 6000}).status, 502)
        eventually(lambda: "buffer-size" in self.sluice.stderr(), "the cure in the process log")


@unittest.skipUnless(shutil.which("uwsgi-core"), "uwsgi is not installed")
class UwsgiTcp(Cases, Scenario):
    server, unix = "uwsgi", False


@unittest.skipUnless(shutil.which("gunicorn"), "gunicorn is not installed")
class GunicornSync(Cases, Scenario):
    server = "sync"


@unittest.skipUnless(shutil.which("gunicorn"), "gunicorn is not installed")
class GunicornThreads(Cases, Scenario):
    server, unix = "gthread", False
