"""The books balance: what was accepted has ended or is open, what was begun was answered or is listed."""
import re
import signal
import time

from harness import Scenario, Sluice
from wire import Origin, answer, eventually

TOP = """drain: { min: 20ms, quiet: 20ms, max: 300ms, deadline: 1s }
workers: 2
"""


def last_line(sluice):
    found = re.search(r"served (\d+) requests? on (\d+) connections?; not served: (.*)\n", sluice.stderr())
    assert found, sluice.stderr()
    listed = {}
    if found[3] != "none":
        total, _, reasons = found[3].rstrip(")").partition(" (")
        for item in reasons.split(", "):
            name, _, count = item.rpartition(" ")
            listed[name] = int(count)
        assert sum(listed.values()) == int(total), found[0]
    return int(found[1]), int(found[2]), listed


class Ledger(Scenario):
    def balance(self, sluice):
        """Connections and requests, as the metrics have them at rest."""
        def even():
            samples = sluice.samples()
            total = lambda name: sum(v for n, _, v in samples if n == "sluice_" + name)
            return total("http_requests_in_flight") == 0 and \
                total("accepts_total") == total("connections_ended_total") + total("connections")
        eventually(even, "accepts = ended + open")

    def test_all_well(self):
        with Origin(lambda r: answer("x")) as origin, Sluice.before(origin, top=TOP) as sluice:
            client = sluice.client()
            for _ in range(3):
                client.get("/")
            client.close()
            self.balance(sluice)
            sluice.stop()
            self.assertEqual(last_line(sluice), (3, 1, {}))
            self.assertIn("not served: none", sluice.stderr())

    def test_every_kind_of_fault(self):
        def serve(request):
            if request.target == "/garbage":
                return (b"what?\r\n\r\n", None)
            if request.target == "/cut":
                return (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", None)
            if request.target == "/silent":
                time.sleep(1)
            return answer("x", status=500 if request.target == "/error" else 200)

        with Origin(serve) as origin, Sluice.before(
                origin, listener="timeouts: { header: 300ms, body: 300ms }, limits: { headers: 2KiB }",
                upstream="timeouts: { first_byte: 300ms }, retry: { attempts: 1 }", top=TOP, expect_exit=1) as sluice:
            begun = served = 0
            for target in ("/", "/", "/error"):  # the application's own error is an answer
                begun, served = begun + 1, served + (sluice.get(target).status in (200, 500))
            for target, status in (("/garbage", 502), ("/silent", 504)):
                begun += 1
                self.assertEqual(sluice.get(target).status, status)
            for text in ("GET / HTTP/9.9\r\n\r\n", "nonsense\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nX: %s\r\n\r\n" % ("x" * 3000)):
                begun += 1
                with sluice.client() as client:
                    client.send(text)
                    self.assertGreaterEqual(client.response().status, 400)
            for text in ("GET / HTTP/1.1\r\nHo", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab"):
                begun += 1
                with sluice.client() as client:  # then nothing: too slow
                    client.send(text)
                    self.assertEqual(client.response().status, 408)
            begun += 1
            with sluice.client() as client:
                client.ask("/cut")
                client.is_gone()
            begun += 1
            client = sluice.client()
            client.ask("/silent")
            eventually(lambda: sluice.metric("sluice_http_requests_in_flight") == 1)
            client.reset()
            sluice.client().close()  # a connection without a request is no request
            self.balance(sluice)
            begun += 1
            late = sluice.client()
            late.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n")
            eventually(lambda: sluice.metric("sluice_http_requests_in_flight") == 1)
            dropped = {l["reason"]: v for n, l, v in sluice.samples() if n == "sluice_dropped_total"}
            sluice.signal(signal.SIGTERM)
            late.is_gone()
            late.close()
            code = sluice.wait()
            good, connections, listed = last_line(sluice)
            self.assertEqual(good, served)
            self.assertEqual(good + sum(listed.values()), begun, listed)
            for reason, count in dropped.items():
                self.assertGreaterEqual(listed.get(reason, 0), count)
            self.assertEqual(code, 1 if "drain_deadline" in listed else 0)
            sluice.expect_exit = code
            entries = sluice.log()
            self.assertEqual(len(entries), begun)
            self.assertEqual(sum(1 for e in entries if e.get("reason")), sum(listed.values()))
            self.assertIn("client_reset", listed)
