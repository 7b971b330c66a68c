"""A reload is all or nothing, is told to the caller, and costs nobody anything; watched and polled files."""
import http.server
import json
import os
import re
import shutil
import signal
import socket
import threading
import time

from harness import SANITIZED, Scenario, Sluice
from wire import Client, Origin, answer, eventually

FIXED = "routes: [ { path: /, respond: { body: \"%s\" } } ]\n"


def status(sluice):
    return json.loads(sluice.cli("status", "--json")[1])


def load(address, until, faults, served, pause=0.0):
    """A keep-alive client that never has to connect twice."""
    try:
        with Client(address) as client:
            while not until.is_set():
                response = client.get("/")
                if response.status != 200 or response.has("connection"):
                    faults.append((response.status, response.get("connection")))
                served.append(1)
                time.sleep(pause)
    except (AssertionError, OSError) as error:
        faults.append(repr(error))


class Load:
    def __init__(self, address, clients=4, pause=0.0):
        self.until, self.faults, self.served = threading.Event(), [], []
        self.threads = [threading.Thread(target=load, args=(address, self.until, self.faults, self.served, pause), daemon=True)
                        for _ in range(clients)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.until.set()
        for thread in self.threads:
            thread.join(20)


class Reload(Scenario):
    def test_every_fifty_milliseconds_under_load(self):
        with Origin(lambda r: answer("x")) as origin, Sluice.before(origin, top="workers: 2\n") as sluice:
            with Load(sluice.address, pause=0.001) as clients:
                for _ in range(60):
                    sluice.signal(signal.SIGHUP)
                    time.sleep(0.05)
            self.assertEqual(clients.faults, [])
            self.assertGreater(len(clients.served), 200)
            # Signals that meet a pending one are one signal.
            eventually(lambda: sluice.metric("sluice_reloads_total", result="success") >= 30)
            self.assertEqual(sluice.metric("sluice_reloads_total", result="failure"), 0)

    def test_a_thousand_leave_nothing_behind(self):
        rounds = 100 if SANITIZED else 1000
        with Origin(lambda r: answer("x")) as origin, Sluice.before(origin, top="workers: 2\n") as sluice:
            def reload_all(count):
                for n in range(count):
                    code, said = ask(sluice.admin, "POST", "/reload")
                    self.assertEqual(code, 200, said)
            idle = [sluice.client() for _ in range(20)]
            for client in idle:
                client.get("/")  # idle sessions keep no configuration alive
            with Load(sluice.address, pause=0.001) as clients:
                reload_all(rounds // 10)  # arenas and pools find their size
                files, memory = sluice.open_files(), sluice.rss()
                reload_all(rounds)
            self.assertEqual(clients.faults, [])
            eventually(lambda: sluice.metric("sluice_generations") == 1)
            self.assertEqual(status(sluice)["config"]["generations"], 1)
            self.assertLessEqual(sluice.open_files(), files + 4)
            if not SANITIZED:  # ASan keeps what was freed
                self.assertLess(sluice.rss() - memory, 4 << 20)
            for client in idle:
                self.assertEqual(client.get("/").status, 200)

    def test_a_running_request_keeps_its_generation_and_no_longer(self):
        with Origin() as origin, Sluice.before(origin) as sluice:
            client = sluice.client()
            client.ask("/")
            served = origin.accept()
            served.request()
            for _ in range(5):
                self.assertEqual(sluice.cli("reload")[0], 0)
            eventually(lambda: sluice.metric("sluice_generations") == 2)
            served.send(answer("x"))
            self.assertEqual(client.response().body, b"x")
            eventually(lambda: sluice.metric("sluice_generations") == 1)

    def test_limits_count_from_the_next_request_on(self):
        with Sluice("listeners: [ { address: 127.0.0.1:0 } ]\n" + FIXED % "x") as sluice:
            client = sluice.client()
            self.assertEqual(client.get("/").status, 200)
            sluice.write_config("listeners: [ { address: 127.0.0.1:0, limits: { headers: 1KiB } } ]\n" + FIXED % "x")
            self.assertEqual(sluice.cli("reload")[0], 0)
            self.assertEqual(client.get("/", headers={"X": "y" * 1500}).status, 431)

    def test_log_format_and_path(self):
        with Sluice(FIXED % "x") as sluice:
            sluice.get("/one")
            sluice.await_log(target="/one")
            sluice.write_config("access_log: { format: combined, path: $dir/second.log }\n" + FIXED % "x")
            self.assertEqual(sluice.cli("reload")[0], 0)
            sluice.get("/two")
            eventually(lambda: '"GET /two HTTP/1.1" 200' in open(sluice.dir + "/second.log").read())


def ask(path, method, target):
    """One request over the admin socket -> (status, body)"""
    with Client(path) as client:
        client.ask(target, method, body="" if method == "POST" else None)
        response = client.response()
        return response.status, response.body.decode()


class Refusal(Scenario):
    def refused(self, sluice, text, *words):
        before = status(sluice)["config"]
        files, refusals = sluice.open_files(), sluice.metric("sluice_reloads_total", result="failure")
        names = sorted(os.listdir(sluice.dir))
        sluice.write_config(text)
        code, out, err = sluice.cli("reload")
        self.assertEqual(code, 1, out)
        for word in words:
            self.assertIn(word, err)
            eventually(lambda: word in sluice.stderr(), "%s in the log" % word)  # written by a thread of its own
        now = status(sluice)["config"]
        self.assertEqual((now["hash"], now["generation"]), (before["hash"], before["generation"]))
        self.assertEqual(now["last_reload"]["result"], "refused")
        for word in words:
            self.assertTrue(any(word in reason for reason in now["last_reload"]["reasons"]), now)
        self.assertEqual(sluice.metric("sluice_reloads_total", result="failure"), refusals + 1)
        self.assertEqual(sluice.metric("sluice_config_last_reload_successful"), 0)
        self.assertEqual(sorted(os.listdir(sluice.dir)), names)
        eventually(lambda: sluice.open_files() <= files, "descriptors as before")
        self.assertEqual(sluice.get("/").body, b"as it was")

    def test_every_reason_at_once_and_nothing_changes(self):
        with Sluice(FIXED % "as it was") as sluice, socket.create_server(("127.0.0.1", 0)) as taken, \
                socket.create_server(("127.0.0.1", 0)) as other:
            port, second = taken.getsockname()[1], other.getsockname()[1]
            self.refused(sluice, "routes: [ { path: /, respnd: {} }, { path: relative, respond: {} } ]\n", "respnd", "relative")
            self.refused(sluice, "include: [ nowhere.yaml ]\n", "nowhere.yaml")
            self.refused(sluice, """listeners:
  - { address: 127.0.0.1:%d }
  - { address: "unix:/nowhere/x.sock" }
  - { address: "unix:$dir/new.sock" }
metrics: { address: 127.0.0.1:%d }
access_log: { path: /nowhere/access.log }
log: { path: $dir }
spill: { folder: /nowhere/spill }
""" % (port, second) + FIXED % "other", "127.0.0.1:%d" % port, "127.0.0.1:%d" % second, "/nowhere/x.sock", "/nowhere/access.log", "open " + sluice.dir,
                         "/nowhere/spill")
            self.refused(sluice, "admin: { socket: /proc/nowhere/admin.sock }\n" + FIXED % "other", "/proc/nowhere/admin.sock")
            sluice.write_config(FIXED % "new")
            self.assertEqual(sluice.cli("reload")[0], 0)
            self.assertEqual(sluice.metric("sluice_config_last_reload_successful"), 1)
            last = status(sluice)["config"]["last_reload"]
            self.assertEqual((last["result"], last["cause"]), ("success", "order"))
            self.assertEqual(sluice.get("/").body, b"new")

    def test_an_admin_socket_in_use(self):
        with Sluice(FIXED % "other") as other, Sluice(FIXED % "as it was") as sluice:
            self.refused(sluice, "admin: { socket: %s }\n" % other.admin + FIXED % "x", other.admin)
            self.assertEqual(other.cli("status")[0], 0)

    def test_a_missing_file(self):
        with Sluice(FIXED % "as it was") as sluice:
            os.remove(sluice.config_file)
            code, out, err = sluice.cli("reload")
            self.assertEqual(code, 1)
            self.assertIn("sluice.yaml", err)
            self.assertEqual(sluice.get("/").body, b"as it was")

    def test_while_draining(self):
        with Sluice(FIXED % "x" + "drain: { min: 9s, quiet: 9s, max: 20s, deadline: 25s }\n") as sluice:
            sluice.cli("drain")
            code, out, err = sluice.cli("reload")
            self.assertEqual(code, 1)
            self.assertIn("draining", err)
            sluice.signal(signal.SIGTERM)
            self.assertEqual(sluice.wait(), 0)


class Watch(Scenario):
    def test_a_file_that_is_written_or_replaced(self):
        with Sluice("watch: on\n" + FIXED % "one") as sluice:
            sluice.write_config("watch: on\n" + FIXED % "two")
            eventually(lambda: sluice.get("/").body == b"two")
            with open(sluice.config_file + ".new", "w") as f:
                f.write(open(sluice.config_file).read().replace("two", "three"))
            os.rename(sluice.config_file + ".new", sluice.config_file)
            eventually(lambda: sluice.get("/").body == b"three")
            self.assertEqual(status(sluice)["config"]["last_reload"]["cause"], "watch")
            self.assertEqual(sluice.metric("sluice_reloads_total", result="success"), 2)

    def test_a_half_written_file_is_tried_again(self):
        with Sluice("watch: on\n" + FIXED % "one") as sluice:
            whole = open(sluice.config_file).read().replace("one", "two")
            with open(sluice.config_file, "w") as f:
                f.write(whole[:whole.index("respond")] + "res")
                f.flush()
                eventually(lambda: sluice.metric("sluice_reloads_total", result="failure") >= 1)
                self.assertEqual(sluice.get("/").body, b"one")
                f.seek(0)
                f.truncate()
                f.write(whole)
            eventually(lambda: sluice.get("/").body == b"two")

    def test_the_symlink_swap_of_a_mounted_volume(self):
        """As Kubernetes' and others' volumes do it: sluice.yaml -> ..data/sluice.yaml, ..data -> a folder."""
        sluice = Sluice("watch: on\n" + FIXED % "one")
        mount = sluice.dir + "/mount"
        os.mkdir(mount)

        def fill(name, word):
            os.mkdir("%s/%s" % (mount, name))
            with open(sluice.dir + "/sluice.yaml") as f, open("%s/%s/sluice.yaml" % (mount, name), "w") as to:
                to.write(f.read().replace("one", word))
            os.symlink(name, mount + "/..next")
            os.rename(mount + "/..next", mount + "/..data")
        fill("..1", "one")
        os.symlink("..data/sluice.yaml", mount + "/sluice.yaml")
        sluice.config_file = mount + "/sluice.yaml"
        with sluice:
            for n, word in enumerate(("two", "three", "four"), 2):
                fill("..%d" % n, word)
                eventually(lambda: sluice.get("/").body == word.encode())
                shutil.rmtree("%s/..%d" % (mount, n - 1))

    def test_what_is_included_is_watched(self):
        text = "watch: on\ninclude: [ conf.d/*.yaml ]\n"
        sluice = Sluice(text)
        os.mkdir(sluice.dir + "/conf.d")
        with open(sluice.dir + "/conf.d/a.yaml", "w") as f:
            f.write("routes: [ { path: /, respond: { body: one } } ]\n")
        with sluice:
            self.assertEqual(sluice.get("/").body, b"one")
            with open(sluice.dir + "/conf.d/a.yaml", "w") as f:
                f.write("routes: [ { path: /, respond: { body: two } } ]\n")
            eventually(lambda: sluice.get("/").body == b"two")
            with open(sluice.dir + "/conf.d/b.yaml", "w") as f:
                f.write("routes: [ { path: /b, respond: { body: b } } ]\n")
            eventually(lambda: sluice.get("/b").body == b"b")
            os.remove(sluice.dir + "/conf.d/b.yaml")
            eventually(lambda: sluice.get("/b").body == b"two")


class Agent(http.server.ThreadingHTTPServer):
    """An HTTP server with one text that has an ETag."""

    def __init__(self, text, tags=True):
        super().__init__(("127.0.0.1", 0), Handler)
        self.text, self.tags, self.asked, self.status = text, tags, [], 200
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return "http://127.0.0.1:%d/config" % self.server_address[1]

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        tag = '"%d"' % hash(server.text)
        same = self.headers.get("If-None-Match") == tag
        server.asked.append((same, self.headers.get("Authorization")))
        body = server.text.encode() if server.status == 200 and not same else b""
        self.send_response(304 if same and server.status == 200 else server.status)
        if server.tags:
            self.send_header("ETag", tag)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Poll(Scenario):
    def text(self, sluice, word):
        with open(sluice.config_file) as f:
            return re.sub(r"^poll:.*\n", "", f.read(), flags=re.M).replace("from the file", word)

    def test_what_the_url_says_is_taken(self):
        with Agent("") as agent, Sluice("poll: { url: \"%s\", interval: 1s, authorization: Bearer secret }\n" % agent.url + FIXED % "from the file") as sluice:
            count = lambda result: sluice.metric("sluice_polls_total", result=result)
            eventually(lambda: count("refused") + count("failed") >= 1)  # an empty text is no configuration
            self.assertEqual(sluice.get("/").body, b"from the file")
            agent.text = self.text(sluice, "first")
            eventually(lambda: sluice.get("/").body == b"first")
            eventually(lambda: count("unchanged") >= 1)
            self.assertTrue(any(same for same, _ in agent.asked))
            self.assertEqual({word for _, word in agent.asked}, {"Bearer secret"})
            agent.text = "routes: [ { path: relative } ]\n"
            eventually(lambda: "relative" in sluice.stderr())
            self.assertEqual(sluice.get("/").body, b"first")
            agent.status = 500
            eventually(lambda: count("failed") >= 1)
            self.assertEqual(sluice.get("/").body, b"first")
            agent.status, agent.text = 200, self.text(sluice, "second")
            eventually(lambda: sluice.get("/").body == b"second")
            self.assertEqual(sluice.cli("reload")[0], 0)  # the file is read; the URL's text stays in force
            self.assertEqual(sluice.get("/").body, b"second")
            self.assertNotIn("secret", sluice.stderr() + ask(sluice.admin, "GET", "/config")[1].replace("(secret)", ""))

    def test_a_server_without_tags_and_the_end_of_polling(self):
        with Agent("", tags=False) as agent, Sluice("poll: { url: \"%s\", interval: 1s }\n" % agent.url + FIXED % "from the file") as sluice:
            agent.text = self.text(sluice, "polled")
            eventually(lambda: sluice.get("/").body == b"polled")
            before = sluice.metric("sluice_reloads_total", result="success")
            eventually(lambda: sluice.metric("sluice_polls_total", result="unchanged") >= 2)
            self.assertEqual(sluice.metric("sluice_reloads_total", result="success"), before)
            sluice.write_config(FIXED % "from the file")  # no poll any more
            self.assertEqual(sluice.cli("reload")[0], 0)
            self.assertEqual(sluice.get("/").body, b"from the file")
