"""sluice plan: what a reload would change, before it does."""
from harness import Scenario, Sluice, run_cli
from wire import Origin, answer

OLD = """drain: { min: 1s, quiet: 1s, max: 2s, deadline: 5s }
listeners:
  - { address: 127.0.0.1:0 }
  - { address: "unix:$dir/b.sock" }
routes:
  - { path: /healthz, respond: { health: ready } }
  - { name: shop, path: /, upstream: django, timeouts: { request: 60s } }
upstreams:
  django: { protocol: uwsgi, endpoints: [ 127.0.0.1:8000, 127.0.0.1:8001 ] }
"""
NEW = """drain: { min: 1s, quiet: 1s, max: 2s, deadline: 9s }
workers: 3
listeners:
  - { address: 127.0.0.1:0, limits: { body: 2GiB } }
  - { address: "unix:$dir/c.sock" }
routes:
  - { path: /healthz, respond: { health: live } }
  - { name: shop, path: /, upstream: django, timeouts: { request: 30s } }
  - { name: api, path: /api/, upstream: api }
upstreams:
  django: { protocol: uwsgi, endpoints: [ 127.0.0.1:8000, 127.0.0.1:8002 ], hold: { timeout: 30s } }
  api: { endpoints: [ 127.0.0.1:9000 ] }
"""
GOLDEN = """workers
  ~ workers: 1 -> 3                             # needs a restart
drain
  ~ deadline: 5s -> 9s
listeners
  ~ 127.0.0.1:0 limits.body: 1GiB -> 2GiB       # %s: from the next request on
  + unix:$dir/c.sock                            # opened before anything else changes
  - unix:$dir/b.sock                            # %s drain
routes
  ~ /healthz respond.health: ready -> live
  ~ shop timeouts.request: 1m -> 30s
  + api
upstreams
  + django endpoints: 127.0.0.1:8002
  - django endpoints: 127.0.0.1:8001            # its requests end, idle connections close
  ~ django hold.timeout: 20s -> 30s
  + api
12 changes, 1 of them needs a restart
"""


def plain(text, *names):
    """Without the padding, whose width depends on a folder's name."""
    for name, word in names:
        text = text.replace(name, word)
    return ["  # ".join(part.strip() for part in line.split("  # ")) for line in text.splitlines()]


class Plan(Scenario):
    maxDiff = None

    def file(self, sluice, text, name="new.yaml"):
        sluice.config_file, kept = sluice.dir + "/" + name, sluice.config_file
        sluice.write_config(text)
        sluice.config_file, path = kept, sluice.config_file
        return path

    def test_against_the_running_one(self):
        with Sluice(OLD) as sluice:
            new = self.file(sluice, NEW)
            one, two = sluice.client(0), sluice.client(1)
            for client in (one, two):
                client.get("/healthz")
            code, out, err = sluice.cli("plan", "-c", new)
            self.assertEqual((code, err), (0, ""))
            self.assertEqual(plain(out, (sluice.dir, "$dir")), plain(GOLDEN % ("1 connection", "1 connection")))
            self.assertEqual(sluice.cli("plan", "-c", new, "--exit-code")[0], 3)
            code, out, err = sluice.cli("plan", "-c", sluice.config_file, "--exit-code")
            self.assertEqual((code, out, err), (0, "nothing would change\n", ""))
            two.close()
            # What was planned is what a reload does: nothing is left to plan then, but the restart.
            self.file(sluice, NEW, "sluice.yaml")
            self.assertEqual(sluice.cli("reload")[0], 0)
            code, out, err = sluice.cli("plan", "-c", new, "--exit-code")
            self.assertEqual((code, out, err), (0, "nothing would change\n", ""))

    def test_offline(self):
        sluice = Sluice(OLD)
        self.addCleanup(sluice._clear, failed=False)
        new = self.file(sluice, NEW)
        code, out, err = run_cli("plan", "-c", new, "--offline", sluice.config_file)
        self.assertEqual((code, err), (0, ""))
        self.assertEqual(plain(out, (sluice.dir, "$dir")), plain(GOLDEN % ("its connections", "its connections")))
        bad = self.file(sluice, "routes: [ { path: /, upsteam: x } ]", "bad.yaml")
        code, out, err = run_cli("plan", "-c", bad, "--offline", sluice.config_file)
        self.assertEqual((code, out), (2, ""))
        self.assertIn("upsteam", err)

    def test_nobody_to_ask(self):
        sluice = Sluice(OLD)
        self.addCleanup(sluice._clear, failed=False)
        code, out, err = run_cli("plan", "-c", sluice.config_file, "--socket", sluice.dir + "/nobody.sock")
        self.assertEqual((code, out), (1, ""))
        self.assertIn("--offline", err)

    def test_no_secret_is_printed(self):
        with Origin(lambda r: answer("x")) as origin:
            url = "http://127.0.0.1:%d/" % origin.port
            with Sluice("routes: [ { path: /, respond: { body: x } } ]\n") as sluice:
                new = self.file(sluice, "poll: { url: \"%s\", authorization: Bearer hush }\nroutes: [ { path: /, respond: { body: x } } ]\n" % url)
                code, out, err = sluice.cli("plan", "-c", new)
                self.assertEqual(code, 0, err)
                self.assertIn("poll", out)
                self.assertNotIn("hush", out)
