"""Metrics and logs: what happened is there, under its right name."""
import json
import os
import re
import shutil
import socket
import subprocess

from harness import Scenario, Sluice
from wire import Origin, answer, eventually


def fine(request):
    return answer("fine")


class Metrics(Scenario):
    def test_prometheus_reads_them(self):
        with Origin(fine) as origin, Sluice.before(origin, route='name: "odd \\"name\\""') as sluice:
            sluice.get("/")
            sluice.get("/", "POST", body="x")
            response = sluice.http_metrics()
            self.assertTrue(response.get("content-type").startswith("text/plain"))
            done = subprocess.run(["promtool", "check", "metrics"], input=response.body, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            self.assertEqual(done.returncode, 0, done.stdout.decode())

    def test_the_names_of_the_contract(self):
        with Origin(fine) as origin, Sluice.before(origin, route="name: all") as sluice:
            client = sluice.client()
            client.get("/")
            client.get("/")
            sluice.await_metric("sluice_http_requests_total", 2, route="all", code="200")
            sluice.await_metric("sluice_upstream_requests_total", 2, upstream="app", endpoint=origin.endpoint, code="200")
            sluice.await_metric("sluice_http_request_duration_seconds_count", 2, route="all")
            sluice.await_metric("sluice_upstream_request_duration_seconds_count", 2, upstream="app")
            sluice.await_metric("sluice_http_requests_in_flight", 0)
            self.assertEqual(sluice.metric("sluice_connections", state="idle"), 1)
            self.assertEqual(sluice.metric("sluice_upstream_endpoint_state", upstream="app", state="ready") +
                             sluice.metric("sluice_upstream_endpoint_state", upstream="app", state="starting"), 1)
            names = {n for n, _, _ in sluice.samples()}
            for name in ("sluice_config_info", "sluice_drain_state", "sluice_access_log_lost_total", "sluice_build_info", "sluice_upstream_held_requests"):
                self.assertIn(name, names)
            self.assertTrue(any(n.startswith("sluice_process_") or n.startswith("process_") for n in names))

    def test_in_flight(self):
        with Origin() as origin, Sluice.before(origin) as sluice:
            clients = [sluice.client() for _ in range(3)]
            for client in clients:
                client.ask("/")
            served = [origin.accept() for _ in clients]
            sluice.await_metric("sluice_http_requests_in_flight", 3)
            for s in served:
                s.request()
                s.send(answer("x"))
            for client in clients:
                client.response()
            sluice.await_metric("sluice_http_requests_in_flight", 0)

    def test_summed_over_workers(self):
        with Origin(fine) as origin, Sluice.before(origin, top="workers: 2\n") as sluice:
            for _ in range(40):
                sluice.get("/")
            sluice.await_metric("sluice_http_requests_total", 40, code="200")

    def test_read_only(self):
        with Sluice("routes: [ { path: /, respond: { body: x } } ]") as sluice:
            self.assertEqual(sluice.http_metrics("/nothing").status, 404)
            from wire import Client
            for method, path in (("POST", "/metrics"), ("POST", "/drain"), ("DELETE", "/")):
                with Client(sluice.metrics_address) as client:
                    client.ask(path, method, body="")
                    self.assertGreaterEqual(client.response().status, 400)
            self.assertEqual(sluice.get("/").status, 200)

    def test_a_real_prometheus_scrapes_them(self):
        if not shutil.which("prometheus"):
            self.skipTest("prometheus is not installed")
        with Origin(fine) as origin, Sluice.before(origin) as sluice:
            sluice.get("/")
            with socket.create_server(("127.0.0.1", 0)) as s:
                port = s.getsockname()[1]
            with open(sluice.dir + "/prometheus.yml", "w") as f:
                f.write("scrape_configs:\n  - job_name: sluice\n    scrape_interval: 200ms\n    scrape_timeout: 200ms\n"
                        "    static_configs: [ { targets: [ '127.0.0.1:%d' ] } ]\n" % sluice.metrics_address[1])
            process = subprocess.Popen(["prometheus", "--config.file=" + sluice.dir + "/prometheus.yml", "--storage.tsdb.path=" + sluice.dir + "/tsdb",
                                        "--web.listen-address=127.0.0.1:%d" % port], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                from wire import Client

                def value():
                    try:
                        with Client(("127.0.0.1", port)) as client:
                            body = client.get("/api/v1/query?query=sluice_http_requests_total", host="127.0.0.1").body
                        return [float(r["value"][1]) for r in json.loads(body)["data"]["result"]]
                    except (OSError, ValueError, KeyError):
                        return None
                self.assertEqual(sum(eventually(value, "a scrape", 30)), 1)
            finally:
                process.kill()
                process.wait()


class AccessLog(Scenario):
    def test_json(self):
        with Origin(fine) as origin, Sluice.before(origin, route="name: all") as sluice:
            sluice.get("/p?q=%22\"", "POST", body="12345", headers={"User-Agent": 'odd "agent" \xff', "Referer": "http://r/", "X-Amzn-Trace-Id": "Root=1-a"}, host="h.example")
            entry = sluice.await_log(method="POST")
            expected = {"target": '/p?q=%22"', "status": 200, "host": "h.example", "client": "127.0.0.1", "route": "all", "upstream": "app",
                        "endpoint": origin.endpoint, "upstream_status": 200, "bytes_in": 5, "bytes_out": 4, "protocol": "HTTP/1.1",
                        "referer": "http://r/", "trace_id": "Root=1-a", "scheme": "http", "attempts": 1}
            self.assertEqual({k: entry.get(k) for k in expected}, expected)
            self.assertRegex(entry["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
            self.assertGreaterEqual(entry["duration"], 0)
            self.assertNotIn("reason", entry)

    def test_combined(self):
        with Origin(fine) as origin, Sluice.before(origin, top="access_log: { format: combined, path: $dir/access.log }\n") as sluice:
            sluice.get("/p", headers={"User-Agent": 'a"b', "Referer": "http://r/"})
            line = eventually(lambda: open(sluice.dir + "/access.log").read() if os.path.exists(sluice.dir + "/access.log") else "")
            self.assertRegex(line, r'^127\.0\.0\.1 - - \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000\] "GET /p HTTP/1\.1" 200 4 "http://r/" "a\\x22b"')

    def test_one_line_each_and_no_injection(self):
        with Origin(fine) as origin, Sluice.before(origin) as sluice:
            client = sluice.client()
            for n in range(200):
                client.get("/%d" % n, headers={"User-Agent": "x\t{\"status\":500}"})
            eventually(lambda: len(sluice.log()) == 200, "200 lines")
            self.assertEqual([e["target"] for e in sluice.log()], ["/%d" % n for n in range(200)])
            self.assertTrue(all(e["status"] == 200 for e in sluice.log()))

    def test_a_log_that_nobody_reads_blocks_nobody(self):
        """A pipe that is full: requests go on, lines are lost and counted."""
        with Origin(fine) as origin:
            sluice = Sluice.before(origin, top="access_log: { path: $dir/pipe, buffer: 16KiB }\n")
            os.mkfifo(sluice.dir + "/pipe")
            reader = os.open(sluice.dir + "/pipe", os.O_RDONLY | os.O_NONBLOCK)
            try:
                with sluice:
                    client = sluice.client()
                    for _ in range(1500):
                        self.assertEqual(client.get("/" + "a" * 100).status, 200)
                    eventually(lambda: sluice.metric("sluice_access_log_lost_total") > 0)
            finally:
                os.close(reader)

    def test_off(self):
        with Origin(fine) as origin, Sluice.before(origin, top="access_log: { format: off }\n") as sluice:
            sluice.get("/")
            sluice.await_metric("sluice_http_requests_total", 1)
            self.assertEqual(sluice.log(), [])


class ProcessLog(Scenario):
    def test_it_says_what_it_listens_on(self):
        with Sluice("routes: [ { path: /, respond: { body: x } } ]") as sluice:
            eventually(lambda: re.search(r":%d\b" % sluice.address[1], sluice.stderr()), "the address in the process log")

    def test_accounting(self):
        """accepted = answered + listed: every request that was not served is counted under a reason."""
        with Origin(lambda r: (b"garbage", None) if r.target == "/bad" else answer("ok")) as origin, Sluice.before(origin, listener="limits: { body: 100 }") as sluice:
            for target, method, body in (("/", "GET", None), ("/bad", "GET", None), ("/", "POST", "x" * 200), ("/", "GET", None)):
                sluice.get(target, method, body=body)
            eventually(lambda: len(sluice.log()) == 4)
            served = sum(1 for e in sluice.log() if not e.get("reason"))
            self.assertEqual(served, 2)
            sluice.await_metric("sluice_http_requests_total", 4)
            self.assertEqual(sum(v for n, _, v in sluice.samples() if n == "sluice_dropped_total"), 2)
