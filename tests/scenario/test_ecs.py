"""In ECS: what the task's metadata is used for, and the doctor."""
import http.server, json, os, socket, threading, unittest

from harness import ROOT, Sluice, run_cli
from wire import Origin, eventually

TASK = {
    "TaskARN": "arn:aws:ecs:eu-west-1:1:task/prod/abc", "Family": "shop", "Revision": "17", "ServiceName": "web",
    "DesiredStatus": "RUNNING", "AvailabilityZone": "eu-west-1b", "Limits": {"CPU": 0.25, "Memory": 512},
    "Containers": [{"Name": "sluice", "DesiredStatus": "RUNNING"}, {"Name": "django", "DesiredStatus": "RUNNING"}],
}


def ok(_):
    return b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Agent:
    """The ECS agent's metadata endpoint, on loopback."""

    def __init__(self, task=TASK, own="sluice"):
        self.task, self.own, self.asked = json.loads(json.dumps(task)), own, []
        agent = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                agent.asked.append(self.path)
                answer = agent.task if self.path == "/v4/id/task" else {"Name": agent.own}
                body = json.dumps(answer).encode()
                self.send_response(200 if self.path in ("/v4/id", "/v4/id/task") else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.env = {"ECS_CONTAINER_METADATA_URI_V4": "http://127.0.0.1:%d/v4/id" % self.server.server_port}
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)

    def desire(self, container, status):
        for entry in self.task["Containers"]:
            if entry["Name"] == container:
                entry["DesiredStatus"] = status

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


class Metadata(unittest.TestCase):
    def test_the_task_is_shown_and_its_cpus_make_the_workers(self):
        with Agent() as agent, Origin(ok) as origin:
            with Sluice.before(origin, top="workers: auto\necs: { interval: 100ms }\n", env=agent.env) as sluice:
                self.assertEqual(sluice.metric("sluice_task_info", family="shop", revision="17", zone="eu-west-1b",
                                               task=TASK["TaskARN"], service="web"), 1)
                self.assertEqual(json.loads(sluice.cli("status", "--json")[1])["workers"], 1)
                self.assertEqual(sluice.metric("sluice_application_stopped_first_total"), 0)

    def test_an_agent_that_does_not_answer_delays_the_start_by_half_a_second_at_most(self):
        silent = socket.create_server(("127.0.0.1", 0))
        env = {"ECS_CONTAINER_METADATA_URI_V4": "http://127.0.0.1:%d/v4/id" % silent.getsockname()[1]}
        with silent, Origin(ok) as origin, Sluice.before(origin, env=env) as sluice:
            self.assertEqual(sluice.get("/").status, 200)

    def test_metadata_can_be_left_alone(self):
        with Agent() as agent, Origin(ok) as origin:
            with Sluice.before(origin, top="ecs: { metadata: off }\n", env=agent.env) as sluice:
                self.assertEqual(sluice.get("/").status, 200)
            self.assertEqual(agent.asked, [])

    def test_an_application_that_is_to_stop_first_is_named_and_readiness_ends(self):
        with Agent() as agent, Origin(ok) as origin:
            with Sluice.before(origin, top="ecs: { interval: 100ms }\n", env=agent.env) as sluice:
                self.assertEqual(sluice.get("/").status, 200)
                eventually(lambda: sluice.http_metrics("/ready").status == 200, "readiness")
                agent.desire("django", "STOPPED")
                eventually(lambda: sluice.http_metrics("/ready").status == 503, "no readiness")
                eventually(lambda: "dependsOn" in sluice.stderr(), "the line about the order")
                self.assertIn("container django", sluice.stderr())
                self.assertEqual(sluice.metric("sluice_application_stopped_first_total"), 1)
                self.assertEqual(sluice.get("/").status, 200)  # still served

    def test_an_application_that_vanishes_within_our_drain_is_named(self):
        with Agent() as agent:
            origin = Origin(ok)
            with origin, Sluice.before(origin, env=agent.env,
                                       top="drain: { min: 2s, quiet: 2s, max: 4s, deadline: 5s }\n") as sluice:
                self.assertEqual(sluice.get("/").status, 200)
                sluice.cli("drain")
                origin.stop()
                eventually(lambda: "dependsOn" in sluice.stderr(), "the line about the order")
                self.assertEqual(sluice.metric("sluice_application_stopped_first_total"), 1)


class Doctor(unittest.TestCase):
    def doctor(self, *args, config="conf/django-uwsgi.yaml"):
        return run_cli("doctor", "-c", os.path.join(ROOT, config), *args)

    def test_what_ships_agrees_with_itself(self):
        code, out, err = self.doctor("--task-definition", ROOT + "/conf/ecs/task-definition.json",
                                     "--deregistration-delay", "30s", "--json")
        self.assertEqual((code, err), (0, ""))
        self.assertEqual([f for f in json.loads(out) if f["weight"] != "note"], [])

    def test_a_contradiction_ends_with_1_and_its_remedy(self):
        code, out, _ = self.doctor("--balancer-idle", "90s")
        self.assertEqual(code, 1)
        self.assertIn("fault: listener 0.0.0.0:8080 closes idle connections after 75s", out)
        self.assertIn("-> set listeners[].timeouts.idle to 105s or more", out)

    def test_what_cannot_be_read_ends_with_2(self):
        self.assertEqual(self.doctor("--task-definition", "/nowhere.json")[0], 2)
        self.assertEqual(self.doctor("--balancer-idle", "soon")[0], 2)
        self.assertEqual(self.doctor(config="nowhere.yaml")[0], 2)
