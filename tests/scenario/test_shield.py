"""The shield for synchronous workers: bodies wait here and not there; slow clients hold no worker."""
import hashlib
import os
import subprocess
import tempfile
import time

from harness import SANITIZED, Scenario, Sluice, Stopwatch
from wire import Origin, UwsgiOrigin, answer, chunks, eventually

MIB = 1 << 20


class Requests(Scenario):
    def test_the_application_is_connected_when_the_body_is_complete(self):
        for kind, protocol in ((Origin, "http1"), (UwsgiOrigin, "uwsgi")):
            with kind() as origin, Sluice.before(origin, protocol=protocol) as sluice:
                client = sluice.client()
                client.ask("/", "POST", headers={"Content-Length": "10"})
                client.send("12345")
                self.assertTrue(origin.is_left_alone())
                client.send("67890")
                served = origin.accept()
                self.assertEqual(served.request().body, b"1234567890")
                served.send(answer("ok"))
                if protocol == "uwsgi":
                    served.close()
                self.assertEqual(client.response().status, 200)

    def test_a_large_body_waits_on_disk_byte_for_byte(self):
        body = os.urandom(20 * MIB)
        with Origin(lambda r: answer(hashlib.sha256(r.body).hexdigest())) as origin, Sluice.before(origin) as sluice:
            sluice.get("/")  # warm
            before = sluice.rss()
            client = sluice.client()
            client.ask("/", "POST", headers={"Content-Length": str(len(body))})
            client.send(body[:-1])
            eventually(lambda: sluice.metric("sluice_spill_bytes") > 15 * MIB, "bytes on disk")
            self.assertLess(sluice.rss() - before, (60 if SANITIZED else 8) * MIB)
            self.assertEqual([f for f in os.listdir(sluice.dir) if f not in ("sluice.yaml", "ready.json", "stderr", "stdout", "access.log", "admin.sock")], [],
                             "spill files are unlinked")
            client.send(body[-1:])
            self.assertEqual(client.response().body, hashlib.sha256(body).hexdigest().encode())
            sluice.await_metric("sluice_spill_bytes", 0)

    def test_a_ceiling_for_each_body(self):
        with Origin(lambda r: answer("ok")) as origin, Sluice.before(origin, upstream="buffering: { memory: 64KiB, disk: 1MiB }") as sluice:
            self.assertEqual(sluice.get("/", "POST", body=b"x" * (MIB // 2)).status, 200)
            client = sluice.client()
            client.ask("/", "POST", headers={"Content-Length": str(4 * MIB)})
            try:
                client.send(b"x" * (4 * MIB))
            except OSError:
                pass
            status = client.response().status
            self.assertIn(status, (413, 503, 507))
            sluice.await_reason(status)

    def test_a_ceiling_for_all_bodies_together(self):
        with Origin(lambda r: answer("ok")) as origin, Sluice.before(origin, top="limits: { spill: 2MiB }\n") as sluice:
            first = sluice.client()
            first.ask("/first", "POST", headers={"Content-Length": str(3 * MIB // 2)})
            first.send(b"x" * (3 * MIB // 2 - 1))
            eventually(lambda: sluice.metric("sluice_spill_bytes") > MIB)
            second = sluice.client()
            second.ask("/second", "POST", headers={"Content-Length": str(3 * MIB // 2)})
            try:
                second.send(b"x" * (3 * MIB // 2))
            except OSError:
                pass
            status = second.response().status
            self.assertIn(status, (503, 507))
            sluice.await_reason(status)
            first.send(b"x")
            self.assertEqual(first.response().status, 200)  # only the one too many is refused

    def test_a_full_disk_ends_one_request_and_not_the_process(self):
        if os.geteuid() != 0:
            self.skipTest("a small file system needs root")
        with tempfile.TemporaryDirectory(prefix="sl.") as folder:
            if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "sluice-test", folder], capture_output=True).returncode:
                self.skipTest("mounting is not allowed here")
            try:
                with Origin(lambda r: answer(r.body[:4])) as origin, Sluice.before(origin, top="spill: { folder: %s }\n" % folder) as sluice:
                    client = sluice.client()
                    client.ask("/", "POST", headers={"Content-Length": str(4 * MIB)})
                    try:
                        client.send(b"x" * (4 * MIB))
                    except OSError:
                        pass
                    status = client.response().status
                    self.assertIn(status, (503, 507))
                    sluice.await_reason(status)
                    self.assertEqual(sluice.get("/", "POST", body=b"fits" * 100).body, b"fits")
                    self.assertEqual(sluice.get("/", "POST", body=b"fits" * 100000).body, b"fits")  # the room came back
            finally:
                subprocess.run(["umount", folder], check=True)

    def test_a_full_disk_while_an_answer_is_taken(self):
        if os.geteuid() != 0:
            self.skipTest("a small file system needs root")
        with tempfile.TemporaryDirectory(prefix="sl.") as folder:
            if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "sluice-test", folder], capture_output=True).returncode:
                self.skipTest("mounting is not allowed here")
            try:
                body = os.urandom(8 * MIB)
                with Origin(lambda r: answer(body)) as origin, Sluice.before(origin, top="spill: { folder: %s }\n" % folder) as sluice:
                    client = sluice.client(receive_buffer=8192)
                    client.ask("/")
                    time.sleep(0.2)  # the client is slow
                    try:
                        response = client.response()
                        self.assertTrue(response.status >= 500 or response.body == body, response.status)  # whole, or visibly not
                    except AssertionError:
                        pass  # cut
                    self.assertEqual(sluice.get("/", "HEAD").status, 200)
            finally:
                subprocess.run(["umount", folder], check=True)

    def test_buffering_off_streams_the_request(self):
        with Origin() as origin, Sluice.before(origin, route="buffering: off") as sluice:
            client = sluice.client()
            client.ask("/", "POST", headers={"Content-Length": "10"})
            client.send("12345")
            served = origin.accept()
            request = served.head()
            self.assertEqual((request.get("content-length"), served.take(5)), ("10", b"12345"))
            client.send("67890")
            self.assertEqual(served.take(5), b"67890")
            served.send(answer("ok"))
            self.assertEqual(client.response().status, 200)

    def test_buffering_off_streams_chunks(self):
        with Origin() as origin, Sluice.before(origin, route="buffering: { request: off }") as sluice:
            client = sluice.client()
            client.ask("/", "POST", headers={"Transfer-Encoding": "chunked"})
            client.send(chunks(b"first", last=False))
            served = origin.accept()
            self.assertEqual(served.head().get("transfer-encoding"), "chunked")
            self.assertEqual(served.take_until("first"), b"5\r\nfirst")
            client.send(chunks(b"second"))
            self.assertIn(b"second", served.take_until("0\r\n\r\n"))
            served.send(answer("ok"))
            self.assertEqual(client.response().status, 200)
            client.ask("/next")  # the connection goes on
            self.assertEqual(served.request().target, "/next")
            served.send(answer("next"))
            self.assertEqual(client.response().body, b"next")


class Answers(Scenario):
    def test_a_slow_client_does_not_hold_the_worker(self):
        body = os.urandom(8 * MIB)
        with Origin() as origin, Sluice.before(origin, listener="timeouts: { send: 20s }", upstream="pool: { idle: 30s }") as sluice:
            client = sluice.client(receive_buffer=4096)
            client.ask("/")
            served = origin.accept()
            served.request()
            watch = Stopwatch()
            served.send(answer(body))  # sendall returns when all was taken
            self.assertLess(watch.seconds, 5)
            sluice.await_metric("sluice_upstream_requests_total", 1)  # sluice has it all; the client has next to nothing
            other = sluice.client()
            other.ask("/other")
            self.assertEqual(served.request().target, "/other")  # the worker's connection is free again
            served.send(answer("quick"))
            self.assertEqual(other.response().body, b"quick")
            self.assertEqual(client.response().body, body)

    def test_memory_stays_bounded_while_the_disk_takes_it(self):
        body = b"x" * (48 * MIB)
        with Origin() as origin, Sluice.before(origin) as sluice:
            client = sluice.client(receive_buffer=4096)
            client.ask("/")
            served = origin.accept()
            served.request()
            before = sluice.rss()
            served.send(answer(body))
            eventually(lambda: sluice.metric("sluice_spill_bytes") > 40 * MIB, "bytes on disk")
            self.assertLess(sluice.rss() - before, (60 if SANITIZED else 8) * MIB)
            self.assertEqual(len(client.response().body), len(body))

    def test_unbuffered_a_large_answer_is_not_held_anywhere(self):
        with Origin() as origin, Sluice.before(origin, route="buffering: off") as sluice:
            client = sluice.client(receive_buffer=4096)
            client.ask("/")
            served = origin.accept()
            served.request()
            before = sluice.rss()
            served.sock.settimeout(0.5)
            sent, piece = 0, b"x" * 65536
            served.send("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (64 * MIB))
            with self.assertRaises(TimeoutError):  # the slow reader pauses the fast writer
                while sent < 64 * MIB:
                    served.sock.sendall(piece)
                    sent += len(piece)
            self.assertLess(sent, 32 * MIB)
            self.assertLess(sluice.rss() - before, (60 if SANITIZED else 8) * MIB)
            self.assertEqual(sluice.metric("sluice_spill_bytes"), 0)

    def test_a_large_file_goes_through_whole(self):
        body = os.urandom(MIB) * 64
        for buffering in ("on", "off"):
            with Origin(lambda r: answer(body)) as origin, Sluice.before(origin, route="buffering: " + buffering) as sluice:
                self.assertEqual(hashlib.sha256(sluice.get("/").body).digest(), hashlib.sha256(body).digest())

    def pieces_arrive_at_once(self, headers="", **more):
        with Origin() as origin, Sluice.before(origin, **more) as sluice:
            client = sluice.client()
            client.ask("/")
            served = origin.accept()
            served.request()
            served.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n%s\r\n" % headers, chunks(b"first", last=False))
            head = client.head()
            self.assertIn(b"first", client.take_until("first"))
            served.send(chunks(b"second"))
            client.take_until("second")
            return head

    def test_buffering_off(self):
        self.pieces_arrive_at_once(route="buffering: off")

    def test_x_accel_buffering_no(self):
        head = self.pieces_arrive_at_once("X-Accel-Buffering: no\r\n")
        self.assertFalse(head.has("x-accel-buffering"))

    def test_server_sent_events_are_never_buffered(self):
        self.pieces_arrive_at_once("Content-Type: text/event-stream\r\n")
        self.pieces_arrive_at_once("Content-Type: text/event-stream; charset=utf-8\r\n", route="buffering: on")

    def test_a_buffered_answer_need_not_wait_for_its_end(self):
        """Taken at the application's speed, but the client gets what there is."""
        self.pieces_arrive_at_once()


class AccelRedirect(Scenario):
    CONFIG = """
routes:
  - { path: /internal/, internal: true, static: { root: $dir/files } }
  - { path: /, upstream: app }
upstreams: { app: { endpoints: [ $endpoint ] } }
"""

    def test_the_file_is_sent_with_the_applications_headers(self):
        reply = answer("", headers={"X-Accel-Redirect": "/internal/report.txt", "Content-Type": "text/x-report",
                                    "Content-Disposition": 'attachment; filename="r.txt"', "Set-Cookie": "a=1"})
        with Origin(lambda r: reply) as origin:
            sluice = Sluice(self.CONFIG, endpoint=origin.endpoint)
            os.mkdir(sluice.dir + "/files")
            with open(sluice.dir + "/files/report.txt", "w") as f:
                f.write("the report\n")
            with sluice:
                response = sluice.get("/download")
                self.assertEqual((response.status, response.body), (200, b"the report\n"))
                self.assertEqual(response.get("content-type"), "text/x-report")
                self.assertEqual(response.get("content-disposition"), 'attachment; filename="r.txt"')
                self.assertEqual(response.get("set-cookie"), "a=1")
                self.assertFalse(response.has("x-accel-redirect"))
                self.assertEqual(sluice.get("/download", headers={"Range": "bytes=4-9"}).body, b"report")

    def test_internal_routes_are_not_for_clients(self):
        with Origin(lambda r: answer("", status=404, reason="Not Found")) as origin:
            sluice = Sluice(self.CONFIG, endpoint=origin.endpoint)
            os.mkdir(sluice.dir + "/files")
            with open(sluice.dir + "/files/secret.txt", "w") as f:
                f.write("secret")
            with sluice:
                self.assertEqual(sluice.get("/internal/secret.txt").status, 404)

    def test_a_redirect_to_nowhere_is_an_error(self):
        replies = {"/missing": "/internal/none.txt", "/outside": "/elsewhere", "/escape": "/internal/../../etc/passwd"}
        def reply(request):
            if request.target not in replies:  # redirected to a route of the application's own
                return answer("", status=404, reason="Not Found")
            return answer("body", headers={"X-Accel-Redirect": replies[request.target]})
        with Origin(reply) as origin:
            sluice = Sluice(self.CONFIG, endpoint=origin.endpoint)
            os.mkdir(sluice.dir + "/files")
            with sluice:
                for target in replies:
                    response = sluice.get(target)
                    self.assertIn(response.status, (404, 500, 502), target)
                    self.assertNotIn(b"root:", response.body)
