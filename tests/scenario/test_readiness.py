"""When a balancer may send requests here: not before the application has answered, through short absences, not through
long ones."""
import os
import signal
import socket
import subprocess
import time

from harness import Scenario, Sluice, run_cli
from test_health import Program, await_state, state
from wire import Origin, UwsgiOrigin, answer, eventually, free_port

SLOW = """
import time
time.sleep(3)


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"up"]
"""


def fine(request):
    return answer("fine")


def ready(sluice):
    reply = sluice.http_metrics("/ready")
    return reply.status, reply.body.decode().strip()


def await_ready(sluice, status):
    eventually(lambda: ready(sluice)[0] == status, "readiness %d" % status)


class Start(Scenario):
    def test_who_has_not_answered_is_asked_when_somebody_asks_us(self):
        with Origin() as origin, Sluice.before(origin) as sluice:
            self.assertTrue(origin.is_left_alone(0.3))
            self.assertEqual(ready(sluice), (503, "app: no endpoint has answered yet"))
            served = origin.accept()
            question = served.request()
            self.assertEqual((question.method, question.target, question.get("host"), question.get("user-agent")),
                             ("HEAD", "/", "localhost", "sluice-readiness"))
            self.assertEqual(ready(sluice)[0], 503)
            self.assertTrue(origin.is_left_alone(0.7))  # one question at a time
            served.send(answer("", status=400, reason="Bad Request"))
            await_ready(sluice, 200)
            self.assertTrue(served.is_gone())
            self.assertEqual(ready(sluice), (200, "ok"))
            self.assertTrue(origin.is_left_alone(0.3))
            self.assertEqual(sluice.metric("sluice_ready"), 1)

    def test_uwsgi_is_asked_in_its_own_words(self):
        with UwsgiOrigin(fine) as origin, Sluice.before(origin, protocol="uwsgi") as sluice:
            self.assertEqual(ready(sluice)[0], 503)
            await_ready(sluice, 200)
            question = origin.requests[0]
            self.assertEqual((question.method, question.target, question.vars["HTTP_HOST"], question.vars["HTTP_USER_AGENT"]),
                             ("HEAD", "/", "localhost", "sluice-readiness"))
            self.assertEqual(origin.count, 1)

    def test_a_clients_answer_is_proof_as_well(self):
        with Origin(fine) as origin, Sluice.before(origin) as sluice:
            sluice.get("/")
            await_ready(sluice, 200)
            self.assertEqual(origin.count, 1)

    def test_a_health_route_and_the_command_ask_too(self):
        config = """
routes:
  - { exact: /healthz, respond: { health: ready } }
  - { exact: /livez, respond: { health: live } }
  - { path: /, upstream: app }
upstreams: { app: { endpoints: [ "%s" ] } }
"""
        with Origin(fine) as origin, Sluice(config % origin.endpoint) as sluice:
            self.assertEqual(sluice.get("/livez").status, 200)
            self.assertTrue(origin.count == 0)
            self.assertEqual(sluice.get("/healthz").status, 503)
            eventually(lambda: sluice.get("/healthz").status == 200)
            self.assertEqual(origin.count, 1)
        with Origin(fine) as origin, Sluice(config % origin.endpoint) as sluice:
            where = "127.0.0.1:%d" % sluice.metrics_address[1]
            self.assertEqual(run_cli("healthcheck", "--address", where)[0], 1)
            eventually(lambda: run_cli("healthcheck", "--address", where)[0] == 0)

    def test_an_upstream_may_be_left_out(self):
        with Origin() as origin, Sluice.before(origin, upstream="hold: { unhealthy_after: off }") as sluice:
            self.assertEqual(ready(sluice), (200, "ok"))
            self.assertTrue(origin.is_left_alone(0.3))

    def test_checks_that_were_asked_for_are_the_only_question(self):
        status = [500]
        health = "health: { path: /h, interval: 20ms, fast_interval: 10ms }"
        with Origin(lambda r: answer("", status=status[0])) as origin, Sluice.before(origin, upstream=health) as sluice:
            eventually(lambda: origin.count > 3)
            self.assertEqual(ready(sluice)[0], 503)
            status[0] = 200
            await_ready(sluice, 200)
            self.assertEqual({r.target for r in origin.requests}, {"/h"})

    def test_an_upstream_that_a_reload_brings_takes_nothing_away(self):
        config = """
routes:
  - { path: /, upstream: app }
%s
upstreams:
  app: { endpoints: [ "%s" ] }
%s
"""
        with Origin(fine) as origin, Origin() as other:
            with Sluice(config % ("", origin.endpoint, "")) as sluice:
                sluice.get("/")
                await_ready(sluice, 200)
                sluice.write_config(config % ("  - { path: /b, upstream: other }", origin.endpoint, '  other: { endpoints: [ "%s" ] }' % other.endpoint))
                self.assertEqual(sluice.cli("reload")[0], 0)
                self.assertEqual(ready(sluice), (200, "ok"))
                self.assertTrue(other.is_left_alone(0.3))

    def test_gunicorn_that_imports_for_three_seconds(self):
        port = str(free_port())
        with Sluice.before("127.0.0.1:" + port) as sluice:
            with open(sluice.dir + "/slow.py", "w") as f:
                f.write(SLOW)
            where = "127.0.0.1:%d" % sluice.metrics_address[1]
            with open(sluice.dir + "/app.log", "w") as log:
                app = subprocess.Popen(["gunicorn", "--bind", "127.0.0.1:" + port, "--chdir", sluice.dir, "slow:application"], stdin=subprocess.DEVNULL,
                                       stdout=log, stderr=log, start_new_session=True, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
            try:
                began = time.monotonic()
                # It listens early and answers late: all the while we are not ready.
                await_state(sluice, "starting")
                self.assertEqual(run_cli("healthcheck", "--address", where)[0], 1)
                while ready(sluice)[0] != 200:
                    self.assertLess(time.monotonic() - began, 30)
                    time.sleep(0.05)
                self.assertGreater(time.monotonic() - began, 2.5)
                self.assertEqual(run_cli("healthcheck", "--address", where), (0, "", ""))
                client = sluice.client()
                self.assertEqual(client.get("/").body, b"up")  # the first request of a client is answered
                self.assertEqual(state(sluice), "ready")
            finally:
                app.send_signal(signal.SIGTERM)
                try:
                    app.wait(10)
                except subprocess.TimeoutExpired:
                    os.killpg(app.pid, signal.SIGKILL)
                    app.wait()


class Absence(Scenario):
    def test_a_long_one_takes_readiness_and_the_return_gives_it_back(self):
        with Program(str(free_port())).start() as app:
            app.heard("listens")
            with Sluice.before(app, upstream="hold: { unhealthy_after: 500ms }") as sluice:
                sluice.get("/")
                await_ready(sluice, 200)
                app.kill()
                await_state(sluice, "holding")
                began = time.monotonic()
                await_ready(sluice, 503)
                self.assertGreater(time.monotonic() - began, 0.3)
                self.assertRegex(ready(sluice)[1], r"^app: away for \d+ s$")
                eventually(lambda: "not ready: app: away for" in sluice.stderr())
                app.start()
                await_ready(sluice, 200)
                eventually(lambda: "ready: every upstream has answered" in sluice.stderr())

    def test_a_short_one_does_not(self):
        with Program(str(free_port())).start() as app:
            app.heard("listens")
            with Sluice.before(app) as sluice:
                sluice.get("/")
                await_ready(sluice, 200)
                app.kill()
                await_state(sluice, "holding")
                for _ in range(50):
                    self.assertEqual(ready(sluice), (200, "ok"))
                    time.sleep(0.01)
                app.start()
                await_state(sluice, "starting")
                self.assertEqual(ready(sluice), (200, "ok"))

    def test_draining_says_so(self):
        with Origin(fine) as origin, Sluice.before(origin, top="drain: { min: 2s, quiet: 2s, max: 4s, deadline: 8s }") as sluice:
            sluice.get("/")
            await_ready(sluice, 200)
            self.assertEqual(sluice.cli("drain")[0], 0)
            self.assertEqual(ready(sluice), (503, "draining"))
            self.assertEqual(sluice.cli("undrain")[0], 0)
            self.assertEqual(ready(sluice), (200, "ok"))
