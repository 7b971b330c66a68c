"""Ceilings by client address and of the whole process: who comes too fast or too often is told so, everybody else is
served as before, and health answers are given whatever is full."""
import socket

from harness import Scenario, Sluice
from wire import Client, Origin, Wire, answer, eventually


def fine(request):
    return answer("fine")


class ClientFrom(Client):
    """From that address."""

    def __init__(self, address, source):
        Wire.__init__(self, socket.create_connection(address, source_address=(source, 0)))


class Base(Scenario):
    def from_there(self, sluice, source):
        client = ClientFrom(sluice.address, source)
        sluice.clients.append(client)
        return client

    def hits(self, sluice, limit):
        return sluice.metric("sluice_limit_hits_total", limit=limit)


class RequestRate(Base):
    def test_beyond_it_429_with_retry_after(self):
        with Origin(fine) as origin, Sluice.before(origin, listener="limits: { request_rate: 3/h }") as sluice:
            client = self.from_there(sluice, "127.0.0.2")
            answers = [client.get("/") for _ in range(5)]
            self.assertEqual([a.status for a in answers], [200, 200, 200, 429, 429])
            self.assertWithin(int(answers[3].get("retry-after")), 1000, 1200)
            self.assertFalse(answers[3].get("connection"))  # the connection is kept
            self.assertEqual(sluice.await_reason(429)["reason"], "request_rate")
            self.assertEqual(self.hits(sluice, "request_rate"), 2)
            self.assertEqual(len(origin.requests), 3)
            # Others are not concerned, and neither is a new connection's count anew.
            self.assertEqual(self.from_there(sluice, "127.0.0.3").get("/").status, 200)
            self.assertEqual(self.from_there(sluice, "127.0.0.2").get("/").status, 429)

    def test_it_comes_back(self):
        with Origin(fine) as origin, Sluice.before(origin, listener="limits: { request_rate: 5/s, request_burst: 1 }") as sluice:
            client = sluice.client()
            self.assertEqual([client.get("/").status for _ in range(2)], [200, 429])
            self.assertEqual(eventually(lambda: client.get("/").status == 200), True)

    def test_what_leads_nowhere_counts(self):
        with Sluice("""
listeners: [ { address: 127.0.0.1:0, limits: { request_rate: 2/h } } ]
routes: [ { path: /only, respond: { status: 200 } } ]
""") as sluice:
            self.assertEqual([sluice.get("/admin.php").status for _ in range(3)], [404, 404, 429])

    def test_shared_over_workers(self):
        with Origin(fine) as origin, Sluice.before(origin, listener="limits: { request_rate: 20/h }", top="workers: 4") as sluice:
            statuses = [sluice.get("/").status for _ in range(40)]
            self.assertEqual(statuses, [200] * 20 + [429] * 20)

    def test_health_answers_are_exempt(self):
        with Sluice("""
listeners: [ { address: 127.0.0.1:0, limits: { request_rate: 1/h } } ]
routes:
  - { path: /healthz, respond: { health: live } }
  - { path: /, respond: { status: 204 } }
""") as sluice:
            client = sluice.client()
            self.assertEqual([client.get("/healthz").status for _ in range(5)], [200] * 5)
            self.assertEqual([client.get("/").status for _ in range(2)], [204, 429])
            self.assertEqual(client.get("/healthz").status, 200)

    def test_behind_a_balancer_by_the_forwarded_address(self):
        with Origin(fine) as origin, Sluice.before(origin, listener="trusted_proxies: [ 127.0.0.0/8 ], limits: { request_rate: 2/h }") as sluice:
            client = sluice.client()
            ask = lambda forwarded: client.get("/", headers={"X-Forwarded-For": forwarded} if forwarded else {}).status
            self.assertEqual([ask("198.51.100.7") for _ in range(3)], [200, 200, 429])
            self.assertEqual([ask("198.51.100.8") for _ in range(3)], [200, 200, 429])
            # What the balancer asks for itself, and what only names balancers, has no limit.
            self.assertEqual([ask(None) for _ in range(5)], [200] * 5)
            self.assertEqual([ask("127.0.0.9") for _ in range(5)], [200] * 5)
            # What a client wrote itself before its own address changes nothing.
            self.assertEqual(ask("203.0.113.9, 198.51.100.7"), 429)

    def test_of_ipv6_a_64_is_one_client(self):
        with Origin(fine) as origin, Sluice.before(origin, listener="trusted_proxies: [ 127.0.0.1 ], limits: { request_rate: 2/h }") as sluice:
            client = sluice.client()
            ask = lambda forwarded: client.get("/", headers={"X-Forwarded-For": forwarded}).status
            self.assertEqual([ask("2001:db8:1:2::%x" % n) for n in range(1, 4)], [200, 200, 429])
            self.assertEqual(ask("2001:db8:1:3::1"), 200)

    def test_it_outlives_a_reload(self):
        with Origin(fine) as origin, Sluice.before(origin, listener="limits: { request_rate: 2/h }") as sluice:
            self.assertEqual([sluice.get("/").status for _ in range(2)], [200, 200])
            self.assertEqual(sluice.cli("reload")[0], 0)
            self.assertEqual(sluice.get("/").status, 429)


class ConnectionRate(Base):
    def test_beyond_it_they_are_closed(self):
        with Origin(fine) as origin, Sluice.before(origin, listener="limits: { connection_rate: 3/h }") as sluice:
            for _ in range(3):
                self.assertEqual(self.from_there(sluice, "127.0.0.2").get("/").status, 200)
            self.from_there(sluice, "127.0.0.2").is_gone()
            self.assertEqual(self.from_there(sluice, "127.0.0.3").get("/").status, 200)
            sluice.await_metric("sluice_dropped_total", 1, reason="connection_rate")
            self.assertEqual(self.hits(sluice, "connection_rate"), 1)
            self.assertEqual(sluice.metric("sluice_connections_ended_total", by="refused"), 1)
            self.assertIn("127.0.0.2 was closed: connection_rate", sluice.stderr())

    def test_a_balancer_is_not_counted(self):
        listener = "trusted_proxies: [ 127.0.0.1 ], limits: { connection_rate: 1/h, client_connections: 1 }"
        with Origin(fine) as origin, Sluice.before(origin, listener=listener) as sluice:
            clients = [sluice.client() for _ in range(5)]
            self.assertEqual([c.get("/").status for c in clients], [200] * 5)

    def test_behind_proxy_headers_by_what_they_name(self):
        listener = "proxy_protocol: required, limits: { connection_rate: 2/h }"
        with Origin(fine) as origin, Sluice.before(origin, listener=listener) as sluice:
            def ask(source):
                client = sluice.client()
                client.send("PROXY TCP4 %s 192.0.2.1 1234 80\r\n" % source)
                client.ask("/")
                return client
            self.assertEqual([ask("198.51.100.7").response().status for _ in range(2)], [200, 200])
            ask("198.51.100.7").is_gone()
            self.assertEqual(ask("198.51.100.8").response().status, 200)
            sluice.await_metric("sluice_dropped_total", 1, reason="connection_rate")


class ClientConnections(Base):
    def test_open_at_once(self):
        with Origin(fine) as origin, Sluice.before(origin, listener="limits: { client_connections: 2 }", top="workers: 2") as sluice:
            first, second = [self.from_there(sluice, "127.0.0.2") for _ in range(2)]
            self.assertEqual([c.get("/").status for c in (first, second)], [200, 200])
            self.from_there(sluice, "127.0.0.2").is_gone()
            self.assertEqual(self.from_there(sluice, "127.0.0.3").get("/").status, 200)
            sluice.await_metric("sluice_dropped_total", 1, reason="client_connections")
            first.close()
            eventually(lambda: sluice.metric("sluice_connections_ended_total", by="client") >= 1)
            self.assertEqual(self.from_there(sluice, "127.0.0.2").get("/").status, 200)


class InFlight(Base):
    HEALTH = """
listeners: [ { address: 127.0.0.1:0%s } ]
routes:
  - { path: /healthz, respond: { health: live } }
  - { path: /, upstream: app }
upstreams: { app: { endpoints: [ "%s" ] } }
%s"""

    def hold(self, sluice, origin, count):
        busy = [sluice.client() for _ in range(count)]
        for client in busy:
            client.ask("/")
        return busy, [origin.accept() for _ in range(count)]

    def finish(self, busy, served):
        for one in served:
            one.request()
            one.send(answer("done", headers={"Connection": "close"}))
        self.assertEqual([c.response().status for c in busy], [200] * len(busy))

    def test_of_the_whole_process(self):
        with Origin() as origin, Sluice(self.HEALTH % ("", origin.endpoint, "workers: 2\nlimits: { in_flight: 3 }")) as sluice:
            busy, served = self.hold(sluice, origin, 3)
            refused = sluice.get("/")
            self.assertEqual((refused.status, refused.get("retry-after")), (503, "1"))
            self.assertEqual(sluice.await_reason(503)["reason"], "in_flight")
            self.assertEqual(self.hits(sluice, "in_flight"), 1)
            self.assertEqual([sluice.get("/healthz").status for _ in range(3)], [200] * 3)
            self.assertEqual(sluice.http_metrics("/live").status, 200)
            self.assertEqual(sluice.cli("status")[0], 0)
            self.finish(busy, served)
            again, served = self.hold(sluice, origin, 3)  # the places came back
            self.finish(again, served)

    def test_a_reload_changes_it(self):
        with Origin() as origin, Sluice(self.HEALTH % ("", origin.endpoint, "limits: { in_flight: 1 }")) as sluice:
            busy, served = self.hold(sluice, origin, 1)
            self.assertEqual(sluice.get("/").status, 503)
            sluice.write_config((self.HEALTH % (", port: 0", origin.endpoint, "limits: { in_flight: 2 }")).replace(", port: 0", ""))
            self.assertEqual(sluice.cli("reload")[0], 0)
            more, others = self.hold(sluice, origin, 1)
            self.finish(busy + more, served + others)

    def test_health_answers_at_the_ceiling_of_connections(self):
        with Origin() as origin, Sluice(self.HEALTH % (", limits: { connections: 2 }", origin.endpoint, "")) as sluice:
            busy, served = self.hold(sluice, origin, 2)
            self.assertEqual(sluice.get("/").status, 503)
            self.assertEqual(sluice.get("/healthz").status, 200)
            self.finish(busy, served)

    def test_those_that_are_told_no_are_bounded_too(self):
        with Origin() as origin, Sluice(self.HEALTH % (", limits: { connections: 2 }", origin.endpoint, "")) as sluice:
            busy, served = self.hold(sluice, origin, 2)
            for _ in range(8):  # the reserve: an eighth of the ceiling, and 8
                sluice.client().send("GET / HT")  # begun: it is not idle, and nobody's room
            eventually(lambda: sluice.metric("sluice_connections", state="active") == 10)
            sluice.client().is_gone()
            sluice.await_metric("sluice_connections_ended_total", 1, by="refused")
            self.assertEqual(sluice.metric("sluice_dropped_total", reason="connections"), 1)
            self.finish(busy, served)
