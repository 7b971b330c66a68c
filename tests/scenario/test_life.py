"""How sluice starts, changes its configuration, drains and ends."""
import json
import os
import signal
import socket
import subprocess
import time

from harness import BINARY, SANITIZED, Scenario, Sluice, Stopwatch, run_cli
from wire import Client, Origin, answer, eventually


def fine(request):
    return answer("fine")


class Start(Scenario):
    def test_the_form_without_a_file(self):
        import tempfile
        with tempfile.TemporaryDirectory(prefix="sl.") as folder, Origin(fine) as origin:
            with open(folder + "/a.txt", "w") as f:
                f.write("static")
            with Sluice(None, args=["--listen", "127.0.0.1:0", "--upstream", "http://" + origin.endpoint, "--static", "/static/=" + folder,
                                    "--metrics", "127.0.0.1:0", "--admin", folder + "/admin.sock"], expect_exit=0) as sluice:
                self.assertEqual(sluice.get("/").body, b"fine")
                self.assertEqual(sluice.get("/static/a.txt").body, b"static")
                self.assertEqual(sluice.get("/healthz").status, 200)
                sluice.signal(signal.SIGTERM)
                eventually(lambda: sluice.http_metrics("/ready").status == 503)
                sluice.signal(signal.SIGTERM)  # the default drain takes seconds
                self.assertEqual(sluice.wait(30), 0)

    def test_the_first_answer_comes_within_milliseconds(self):
        best = 9
        for _ in range(5):
            sluice = Sluice("routes: [ { path: /, respond: { body: x } } ]\nlisteners: [ { address: \"unix:$dir/s.sock\" } ]\n")
            path, watch = sluice.dir + "/s.sock", Stopwatch()
            process = subprocess.Popen([BINARY, "run", "-c", sluice.config_file], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
            try:
                while True:
                    try:
                        with Client(path) as client:
                            self.assertEqual(client.get("/").status, 200)
                            break
                    except (FileNotFoundError, ConnectionRefusedError):
                        self.assertIsNone(process.poll())
                        self.assertLess(watch.seconds, 10)
                best = min(best, watch.seconds)
            finally:
                process.terminate()
                process.wait(10)
                sluice._clear(failed=False)
        # The goal is 10 ms of an idle machine (tests/bench); here others run beside us.
        self.assertLess(best, 5 if SANITIZED else 0.1)

    def test_an_address_in_use_is_exit_code_1(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            sluice = Sluice("listeners: [ { address: 127.0.0.1:%d } ]\nroutes: [ { path: /, respond: { body: x } } ]" % taken.getsockname()[1])
            code, out, err = run_cli("run", "-c", sluice.config_file)
            self.assertEqual(code, 1)
            self.assertIn(str(taken.getsockname()[1]), err)
            sluice._clear(failed=False)


class Usage(Scenario):
    def file(self, text):
        sluice = Sluice(text)
        self.addCleanup(sluice._clear, failed=False)
        return sluice.config_file

    def test_check_of_a_good_file(self):
        code, out, err = run_cli("check", "-c", self.file("routes: [ { path: /, respond: { body: x } } ]"))
        self.assertEqual(code, 0, err)

    def test_all_faults_at_once_with_their_place(self):
        file = self.file("""routes:
  - { path: /, upsteam: app }
  - { path: relative, respond: { status: 99999 } }
upstreams:
  app: { endpoints: [ 127.0.0.1:8000 ], timeouts: { connect: soon } }
""")
        code, out, err = run_cli("check", "-c", file)
        text = out + err
        self.assertEqual(code, 2)
        for word in ("upsteam", "upstream", "relative", "99999", "soon"):
            self.assertIn(word, text)
        self.assertIn("did you mean", text.lower())
        self.assertRegex(text, r"sluice\.yaml:\d+: ")
        self.assertEqual(run_cli("run", "-c", file)[0], 2)

    def test_variables_expand(self):
        with Sluice('routes: [ { path: /, respond: { body: "${WORD:-none}" } } ]', env={"WORD": "spoken"}) as sluice:
            self.assertEqual(sluice.get("/").body, b"spoken")
        with Sluice('routes: [ { path: /, respond: { body: "${WORD:-none}" } } ]') as sluice:
            self.assertEqual(sluice.get("/").body, b"none")

    def test_bad_usage_is_exit_code_2(self):
        for args in (["run"], ["run", "-c", "/nowhere.yaml"], ["dance"], ["run", "--listen"], ["check", "--nonsense"], ["reload", "--nonsense"]):
            code, out, err = run_cli(*args)
            self.assertEqual(code, 2, args)
            self.assertTrue(out + err, args)

    def test_help_and_version(self):
        for args in (["--help"], ["run", "--help"], ["--version"]):
            code, out, err = run_cli(*args)
            self.assertEqual(code, 0, args)
            self.assertIn("sluice" if args != ["--version"] else ".", out.lower())

    def test_orders_to_nobody(self):
        for order in ("reload", "drain", "status"):
            code, out, err = run_cli(order, "--socket", "/nowhere/admin.sock")
            self.assertEqual((code, bool(err)), (1, True), order)
        self.assertEqual(run_cli("healthcheck", "--address", "127.0.0.1:1"), (1, "", ""))


RELOAD = """
routes:
  - { path: /, respond: { body: %s } }
"""


class Reload(Scenario):
    def reload_to(self, sluice, text, how):
        sluice.write_config(text)
        if how == "cli":
            return sluice.cli("reload")
        sluice.signal(signal.SIGHUP)

    def test_by_cli_and_by_signal(self):
        with Sluice(RELOAD % "one") as sluice:
            client = sluice.client()
            self.assertEqual(client.get("/").body, b"one")
            code, out, err = self.reload_to(sluice, RELOAD % "two", "cli")
            self.assertEqual(code, 0, out + err)
            self.assertEqual(client.get("/").body, b"two")  # on the connection it had
            self.reload_to(sluice, RELOAD % "three", "signal")
            eventually(lambda: client.get("/").body == b"three")
            self.assertGreaterEqual(sum(v for n, l, v in sluice.samples() if n == "sluice_reloads_total" and l["result"] in ("ok", "success", "applied")), 2)

    def test_a_bad_file_changes_nothing_and_says_so(self):
        with Sluice(RELOAD % "one") as sluice:
            client = sluice.client()
            client.get("/")
            code, out, err = self.reload_to(sluice, "routes: [ { path: /, respnd: {} } ]", "cli")
            self.assertNotEqual(code, 0)
            self.assertIn("respnd", out + err)
            self.assertEqual(client.get("/").body, b"one")
            self.reload_to(sluice, "nonsense: [", "signal")
            eventually(lambda: sum(v for n, l, v in sluice.samples() if n == "sluice_reloads_total" and l["result"] not in ("ok", "success", "applied")) >= 2)
            self.assertEqual(client.get("/").body, b"one")
            code, out, err = self.reload_to(sluice, RELOAD % "two", "cli")
            self.assertEqual((code, client.get("/").body), (0, b"two"))

    def test_running_requests_keep_what_they_began_with(self):
        with Origin() as old, Origin(lambda r: answer("new")) as new, Sluice.before(old) as sluice:
            client = sluice.client()
            client.ask("/")
            served = old.accept()
            served.request()
            text = open(sluice.config_file).read().replace(old.endpoint, new.endpoint)
            with open(sluice.config_file, "w") as f:
                f.write(text)
            self.assertEqual(sluice.cli("reload")[0], 0)
            self.assertEqual(sluice.get("/").body, b"new")
            served.send(answer("old"))
            self.assertEqual(client.response().body, b"old")
            self.assertEqual(client.get("/").body, b"new")

    def test_pools_and_counters_are_carried_over(self):
        with Origin(fine) as origin, Sluice.before(origin, upstream="pool: { idle: 20s }") as sluice:
            client = sluice.client()
            client.get("/")
            self.assertEqual(sluice.cli("reload")[0], 0)
            client.get("/")
            self.assertEqual(origin.count, 1)
            sluice.await_metric("sluice_http_requests_total", 2, code="200")

    def test_the_queue_survives(self):
        with Origin() as origin, Sluice.before(origin, upstream="max_in_flight: 1") as sluice:
            clients = [sluice.client() for _ in range(2)]
            clients[0].ask("/0")
            served = origin.accept()
            clients[1].ask("/1")
            eventually(lambda: sluice.metric("sluice_upstream_held_requests", upstream="app") == 1)
            self.assertEqual(sluice.cli("reload")[0], 0)
            self.assertTrue(origin.is_left_alone(0.05))
            for n in range(2):
                self.assertEqual(served.request().target, "/%d" % n)
                served.send(answer(str(n)))
            self.assertEqual([c.response().body for c in clients], [b"0", b"1"])

    def test_many_reloads_under_load_lose_nothing(self):
        with Origin(fine) as origin, Sluice.before(origin, top="workers: 2\n") as sluice:
            client, done = sluice.client(), 0
            for n in range(20):
                sluice.signal(signal.SIGHUP)
                for _ in range(20):
                    self.assertEqual(client.get("/").status, 200)
                    done += 1
            sluice.await_metric("sluice_http_requests_total", done, code="200")

    def test_a_listener_may_come_and_go(self):
        with Sluice("listeners: [ { address: \"unix:$dir/a.sock\" } ]\n" + RELOAD % "x") as sluice:
            sluice.write_config("listeners: [ { address: \"unix:$dir/a.sock\" }, { address: \"unix:$dir/b.sock\" } ]\n" + RELOAD % "y")
            self.assertEqual(sluice.cli("reload")[0], 0)
            for path in ("/a.sock", "/b.sock"):
                with Client(sluice.dir + path) as client:
                    self.assertEqual(client.get("/").body, b"y")

    def test_logs_are_reopened(self):
        with Sluice(RELOAD % "x") as sluice:
            sluice.get("/before")
            sluice.await_log(target="/before")
            os.rename(sluice.dir + "/access.log", sluice.dir + "/rotated")
            sluice.signal(signal.SIGUSR1)
            eventually(lambda: os.path.exists(sluice.dir + "/access.log"))
            sluice.get("/after")
            sluice.await_log(target="/after")
            self.assertNotIn("/after", open(sluice.dir + "/rotated").read())
            os.rename(sluice.dir + "/access.log", sluice.dir + "/rotated2")
            self.assertEqual(sluice.cli("reopen")[0], 0)
            eventually(lambda: os.path.exists(sluice.dir + "/access.log"))


DRAIN = "drain: { min: 400ms, quiet: 200ms, max: 3s, deadline: 6s }\n"


class Drain(Scenario):
    def test_it_goes_on_serving_and_announces_the_end(self):
        for number in (signal.SIGTERM, signal.SIGQUIT, signal.SIGINT):
            with Origin(fine) as origin, Sluice.before(origin, top=DRAIN) as sluice:
                idle = sluice.client()
                idle.get("/")
                sluice.signal(number)
                eventually(lambda: sluice.http_metrics("/ready").status == 503)
                self.assertEqual(sluice.http_metrics("/live").status, 200)
                fresh = sluice.client()  # still accepted
                response = fresh.get("/")
                self.assertEqual((response.status, response.get("connection").lower()), (200, "close"))
                response = idle.get("/")  # was not closed, and is answered
                self.assertEqual((response.status, response.get("connection").lower()), (200, "close"))
                idle.at_end()
                for client in (idle, fresh):  # sluice lingers for the client's FIN, within bounds
                    client.close()
                self.assertEqual(sluice.wait(), 0)

    def test_it_ends_on_evidence_and_not_before(self):
        with Sluice(RELOAD % "x" + DRAIN) as sluice:
            watch = Stopwatch()
            sluice.signal(signal.SIGTERM)
            self.assertEqual(sluice.wait(), 0)
            self.assertWithin(watch.seconds, 0.35, 2.5)

    def test_new_requests_keep_it_open_up_to_max(self):
        with Sluice(RELOAD % "x" + "drain: { min: 100ms, quiet: 400ms, max: 1500ms, deadline: 6s }\n") as sluice:
            sluice.signal(signal.SIGTERM)
            watch, served = Stopwatch(), 0
            while sluice.process.poll() is None and watch.seconds < 6:
                try:
                    served += sluice.get("/").status == 200
                except (OSError, AssertionError):
                    break
                time.sleep(0.05)
            self.assertEqual(sluice.wait(), 0)
            self.assertWithin(watch.seconds, 1.2, 4)
            self.assertGreater(served, 3)

    def test_a_running_request_is_finished(self):
        with Origin() as origin, Sluice.before(origin, top=DRAIN) as sluice:
            client = sluice.client()
            client.ask("/slow")
            served = origin.accept()
            served.request()
            sluice.signal(signal.SIGTERM)
            time.sleep(1)  # beyond min and quiet
            self.assertIsNone(sluice.process.poll())
            served.send(answer("in the end"))
            response = client.response()
            self.assertEqual((response.body, response.get("connection").lower()), (b"in the end", "close"))
            client.at_end()
            client.close()
            self.assertEqual(sluice.wait(), 0)

    def test_a_second_signal_skips_the_waiting_but_not_the_requests(self):
        with Origin() as origin, Sluice.before(origin, top="drain: { min: 8s, quiet: 8s, max: 20s, deadline: 28s }\n") as sluice:
            client = sluice.client()
            client.ask("/slow")
            served = origin.accept()
            served.request()
            watch = Stopwatch()
            sluice.signal(signal.SIGTERM)
            eventually(lambda: sluice.http_metrics("/ready").status == 503)
            sluice.signal(signal.SIGTERM)
            time.sleep(0.3)
            served.send(answer("not lost"))
            self.assertEqual(client.response().body, b"not lost")
            client.close()
            self.assertEqual(sluice.wait(), 0)
            self.assertLess(watch.seconds, 6)

    def test_the_deadline_is_hard(self):
        with Origin() as origin, Sluice.before(origin, top="drain: { min: 50ms, quiet: 50ms, max: 300ms, deadline: 1s }\n") as sluice:
            client = sluice.client()
            client.ask("/never")
            origin.accept().request()
            watch = Stopwatch()
            sluice.signal(signal.SIGTERM)
            code = sluice.wait()
            self.assertWithin(watch.seconds, 0.8, 4)
            self.assertIn(code, (0, 1))

    def test_it_can_be_taken_back_while_it_only_announces(self):
        with Sluice(RELOAD % "x" + "drain: { min: 5s, quiet: 5s, max: 10s, deadline: 12s }\n") as sluice:
            sluice.cli("drain")
            eventually(lambda: sluice.http_metrics("/ready").status == 503)
            code, out, err = sluice.cli("undrain")
            self.assertEqual(code, 0, out + err)
            eventually(lambda: sluice.http_metrics("/ready").status == 200)
            client = sluice.client()
            self.assertEqual([client.get("/").body for _ in range(2)], [b"x", b"x"])
            client.close()
            sluice.signal(signal.SIGTERM)
            eventually(lambda: sluice.http_metrics("/ready").status == 503)  # two signals at once would be one
            sluice.signal(signal.SIGTERM)
            self.assertEqual(sluice.wait(), 0)

    def test_by_cli(self):
        with Sluice(RELOAD % "x" + DRAIN) as sluice:
            code, out, err = sluice.cli("drain")
            self.assertEqual(code, 0, out + err)
            self.assertEqual(sluice.wait(), 0)

    def test_health_routes_turn(self):
        with Sluice("routes: [ { path: /healthz, respond: { health: ready } }, { path: /live, respond: { health: live } } ]\n" + DRAIN) as sluice:
            self.assertEqual(sluice.get("/healthz").status, 200)
            sluice.signal(signal.SIGTERM)
            eventually(lambda: sluice.get("/healthz").status == 503)
            self.assertEqual(sluice.get("/live").status, 200)
            self.assertEqual(sluice.wait(), 0)

    def test_the_state_is_in_the_metrics(self):
        with Sluice(RELOAD % "x" + DRAIN) as sluice:
            self.assertEqual(sluice.metric("sluice_drain_state"), 0)
            sluice.signal(signal.SIGTERM)
            eventually(lambda: sluice.metric("sluice_drain_state") > 0)
            self.assertEqual(sluice.wait(), 0)

    def test_no_request_is_lost_while_clients_go_on(self):
        """Clients that obey Connection: close and reconnect until nobody listens lose nothing."""
        with Origin(fine) as origin, Sluice.before(origin, top="drain: { min: 300ms, quiet: 1s, max: 1s, deadline: 6s }\nworkers: 2\n") as sluice:
            sluice.signal(signal.SIGTERM)
            watch, good, client = Stopwatch(), 0, None
            while watch.seconds < 0.9:  # within the accepting phase every request is answered
                client = client or sluice.client()
                response = client.get("/")
                self.assertEqual(response.status, 200)
                good += 1
                if "close" in (response.get("connection") or ""):
                    client.close()
                    client = None
            self.assertGreater(good, 3)
            if client:
                client.close()
            self.assertEqual(sluice.wait(), 0)


class Orders(Scenario):
    def test_healthcheck(self):
        with Sluice(RELOAD % "x" + DRAIN) as sluice:
            where = "127.0.0.1:%d" % sluice.metrics_address[1]
            self.assertEqual(run_cli("healthcheck", "--address", where), (0, "", ""))
            self.assertEqual(run_cli("healthcheck", env={"SLUICE_METRICS": where}), (0, "", ""))
            serving = sluice.serving_pid()
            os.kill(serving, signal.SIGSTOP)  # alive, but serves nobody
            try:
                self.assertEqual(run_cli("healthcheck", "--address", where), (1, "", ""))
            finally:
                os.kill(serving, signal.SIGCONT)
            sluice.signal(signal.SIGTERM)
            eventually(lambda: sluice.http_metrics("/ready").status == 503)
            self.assertEqual(run_cli("healthcheck", "--address", where)[0], 1)
            self.assertEqual(sluice.wait(), 0)
        self.assertEqual(run_cli("healthcheck", "--address", where)[0], 1)

    def test_status(self):
        with Origin(fine) as origin, Sluice.before(origin) as sluice:
            sluice.get("/")
            code, out, err = sluice.cli("status")
            self.assertEqual(code, 0, err)
            self.assertIn(origin.endpoint, out)
            code, out, err = sluice.cli("status", "--json")
            self.assertEqual(code, 0, err)
            self.assertIsInstance(json.loads(out), dict)
