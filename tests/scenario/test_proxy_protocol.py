"""The PROXY protocol: who the client is, told by a proxy in front, and told to an application behind."""
import os
import socket
import struct
import subprocess

from harness import Scenario, Sluice
from wire import PATIENCE, Client, Ended, Origin, Served, UwsgiOrigin, UwsgiServed, Wire, answer, eventually

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
V1 = b"PROXY TCP4 203.0.113.7 192.0.2.1 56324 443\r\n"
GET = b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n"


def tlv(kind, value):
    return struct.pack(">BH", kind, len(value)) + value


def v2(content=b"", command=0x21, family=0x11, tlvs=b"", source="203.0.113.7", destination="192.0.2.1"):
    if not content and command == 0x21:
        kind = socket.AF_INET6 if ":" in source else socket.AF_INET
        family = 0x21 if ":" in source else 0x11
        content = socket.inet_pton(kind, source) + socket.inet_pton(kind, destination) + struct.pack(">HH", 56324, 443)
    content += tlvs
    return SIGNATURE + struct.pack(">BBH", command, family, len(content)) + content


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def of_a_load_balancer():
    """A Network Load Balancer's, for a connection by PrivateLink: checksum, endpoint, and NOOPs up to a round length."""
    tlvs = tlv(3, bytes(4)) + tlv(0xea, b"\x01vpce-08d2bf15fac5001c9") + tlv(4, bytes(40))
    zeros = v2(tlvs=tlvs)
    at = zeros.index(tlv(3, bytes(4))) + 3
    return zeros[:at] + struct.pack(">I", crc32c(zeros)) + zeros[at + 4:]


def fine(request):
    return answer("x")


REQUIRED = "proxy_protocol: required"


class In(Scenario):
    def asked(self, header, listener=REQUIRED, request=GET, **more):
        """The application's view of a request behind this header, and its log entry."""
        with Origin(fine) as origin, Sluice.before(origin, listener=listener, **more) as sluice:
            client = sluice.client()
            client.send(header, request)
            self.assertEqual(client.response().status, 200)
            return origin.requests[0], sluice.await_log(status=200)

    def test_its_address_is_the_client_s(self):
        for header in (V1, v2(), of_a_load_balancer()):
            request, entry = self.asked(header)
            self.assertEqual(request.get("x-forwarded-for"), "203.0.113.7")
            self.assertEqual(request.get("x-real-ip"), "203.0.113.7")
            self.assertEqual(request.get("x-forwarded-port"), "443")
            self.assertEqual(request.get("x-forwarded-proto"), "http")
            self.assertEqual((entry["client"], entry["peer"]), ("203.0.113.7", "127.0.0.1"))

    def test_ip6(self):
        for header in (b"PROXY TCP6 2001:db8::7 fd00::1 56324 443\r\n", v2(source="2001:db8::7", destination="fd00::1")):
            request, entry = self.asked(header)
            self.assertEqual(request.get("x-forwarded-for"), "2001:db8::7")
            self.assertEqual(entry["client"], "2001:db8::7")

    def test_one_byte_at_a_time(self):
        with Origin(fine) as origin, Sluice.before(origin, listener=REQUIRED) as sluice:
            for header in (V1, of_a_load_balancer()):
                client = sluice.client()
                for byte in header + GET:
                    client.send(bytes([byte]))
                self.assertEqual(client.response().status, 200)
                self.assertEqual(origin.requests[-1].get("x-real-ip"), "203.0.113.7")

    def test_it_is_said_once_a_connection(self):
        with Origin(fine) as origin, Sluice.before(origin, listener=REQUIRED) as sluice:
            client = sluice.client()
            client.send(v2(), GET, GET)
            for _ in range(2):
                self.assertEqual(client.response().status, 200)
            self.assertEqual(client.get("/").status, 200)
            self.assertEqual([r.get("x-real-ip") for r in origin.requests], ["203.0.113.7"] * 3)
            client.send(V1, GET)  # not a second time: as a request it is none
            self.assertEqual(client.response().status, 400)

    def test_to_uwsgi(self):
        with UwsgiOrigin(fine) as origin, Sluice.before(origin, listener=REQUIRED, protocol="uwsgi") as sluice:
            client = sluice.client()
            client.send(V1, GET)
            self.assertEqual(client.response().status, 200)
            seen = origin.requests[0].vars
            self.assertEqual((seen["REMOTE_ADDR"], seen["REMOTE_PORT"], seen["SERVER_PORT"]), ("203.0.113.7", "56324", "443"))

    def test_trusted_proxies_is_about_its_address(self):
        request = GET[:-2] + b"X-Forwarded-For: 198.51.100.9\r\n\r\n"
        seen, _ = self.asked(V1, REQUIRED + ", trusted_proxies: [ 127.0.0.0/8 ]", request)
        self.assertEqual(seen.get("x-forwarded-for"), "203.0.113.7")
        seen, entry = self.asked(V1, REQUIRED + ", trusted_proxies: [ 203.0.113.0/24 ]", request)
        self.assertEqual([x.strip() for x in seen.get("x-forwarded-for").split(",")], ["198.51.100.9", "203.0.113.7"])
        self.assertEqual((seen.get("x-real-ip"), entry["client"], entry["peer"]), ("198.51.100.9", "198.51.100.9", "127.0.0.1"))

    def test_filters_go_by_it(self):
        with Origin(fine) as origin, Sluice.before(origin, listener=REQUIRED, route="filters: [ { ip_access: { deny: [ 203.0.113.7 ] } } ]") as sluice:
            for address, status in ((b"203.0.113.7", 403), (b"203.0.113.8", 200)):
                client = sluice.client()
                client.send(V1.replace(b"203.0.113.7", address), GET)
                self.assertEqual(client.response().status, status)

    def test_what_speaks_of_the_socket_leaves_its_address(self):
        with Origin(fine) as origin, Sluice.before(origin, listener=REQUIRED) as sluice:
            for header in (b"PROXY UNKNOWN\r\n", b"PROXY UNKNOWN 1.2.3.4 x\r\n", v2(command=0x20, family=0), v2(b"x" * 12, command=0x20), v2(b"x", family=0)):
                client = sluice.client()
                client.send(header, GET)
                self.assertEqual(client.response().status, 200)
                self.assertEqual(origin.requests[-1].get("x-forwarded-for"), "127.0.0.1")
                self.assertEqual(origin.requests[-1].get("x-forwarded-port"), str(sluice.address[1]))

    def test_a_unix_client_has_no_address(self):
        request, entry = self.asked(v2(bytes(216), family=0x31))
        self.assertFalse(request.has("x-forwarded-for"))
        self.assertNotIn("client", entry)

    def test_tlvs_are_in_the_log(self):
        ssl = tlv(0x20, b"\x01" + bytes(4) + tlv(0x21, b"TLSv1.3"))
        request, entry = self.asked(v2(tlvs=tlv(1, b"h2") + tlv(2, b"shop.example") + tlv(5, b"id-1") + ssl))
        self.assertEqual([entry["proxy_" + k] for k in ("alpn", "authority", "unique_id", "tls")], ["h2", "shop.example", "id-1", "TLSv1.3"])
        self.assertEqual((request.get("x-forwarded-proto"), entry["scheme"]), ("https", "https"))
        self.assertEqual(self.asked(of_a_load_balancer())[1]["proxy_vpc_endpoint"], "vpce-08d2bf15fac5001c9")

    def test_required_and_none_or_a_bad_one(self):
        cases = ((GET, "missing"), (b"PROXY TCP4 1.2.3.4 1.2.3.5 1\r\n" + GET, "malformed"), (v2(b"short") + GET, "malformed"),
                 (v2(tlvs=tlv(3, b"abcd")) + GET, "malformed"), (b"PROXY UNKNOWN " + b"x" * 100 + b"\r\n" + GET, "too_long"),
                 (SIGNATURE + b"\x21\x11\xff\xff" + GET, "too_long"))
        with Origin(fine) as origin, Sluice.before(origin, listener=REQUIRED) as sluice:
            for n, (sent, why) in enumerate(cases):
                client = sluice.client()
                client.send(sent)
                self.assertTrue(client.is_gone())
                self.assertEqual(bytes(client.buffer), b"")
                sluice.await_reason(400, reason="proxy_header_" + why)
                sluice.await_metric("sluice_connections_ended_total", n + 1, by="refused")
            client = sluice.client()
            client.send(V1[:20])
            client.finish_sending()
            self.assertTrue(client.is_gone())
            sluice.await_reason(400, reason="proxy_header_incomplete")
            self.assertEqual(sluice.metric("sluice_limit_hits_total", limit="proxy_header"), 2)
            self.assertIn("closed: proxy_header_", sluice.stderr())
            self.assertEqual(origin.requests, [])

    def test_a_header_has_its_time(self):
        with Origin(fine) as origin, Sluice.before(origin, listener=REQUIRED + ", timeouts: { header: 100ms }") as sluice:
            client = sluice.client()
            client.send(V1[:20])
            self.assertTrue(client.is_gone())
            sluice.await_reason(400, reason="proxy_header_timeout")
            sluice.await_metric("sluice_limit_hits_total", 1, limit="header_timeout")
            sluice.await_metric("sluice_connections_ended_total", 1, by="timeout")

    def test_silence_has_first_byte_s(self):
        with Origin(fine) as origin, Sluice.before(origin, listener=REQUIRED + ", timeouts: { first_byte: 100ms }") as sluice:
            client = sluice.client()
            self.assertTrue(client.is_gone())
            sluice.await_metric("sluice_connections_ended_total", 1, by="timeout")
            client = sluice.client()
            client.close()
            sluice.await_metric("sluice_connections_ended_total", 1, by="client")
            self.assertEqual(sluice.log(), [])

    def test_optional_from_who_is_trusted(self):
        optional = "proxy_protocol: optional, trusted_proxies: [ 127.0.0.0/8 ]"
        for header, believed in ((V1, "203.0.113.7"), (v2(), "203.0.113.7"), (b"", "127.0.0.1")):
            request, entry = self.asked(header, optional)
            self.assertEqual((request.get("x-real-ip"), entry["client"]), (believed, believed))
        with Origin(fine) as origin, Sluice.before(origin, listener=optional) as sluice:
            client = sluice.client()
            for byte in b"PROPFIND" + GET[3:]:
                client.send(bytes([byte]))
            self.assertEqual(client.response().status, 200)

    def test_optional_and_a_stranger_s_bytes_are_http(self):
        with Origin(fine) as origin, Sluice.before(origin, listener="proxy_protocol: optional, trusted_proxies: [ 10.0.0.0/8 ]") as sluice:
            for header in (V1, v2()):
                client = sluice.client()
                client.send(header, GET)
                self.assertEqual(client.response().status, 400)
            self.assertEqual(sluice.get("/").status, 200)
            self.assertEqual(len(origin.requests), 1)

    def test_off_they_are_http_too(self):
        with Origin(fine) as origin, Sluice.before(origin) as sluice:
            client = sluice.client()
            client.send(V1, GET)
            self.assertEqual(client.response().status, 400)

    def test_the_silent_make_room(self):
        with Origin(fine) as origin, Sluice.before(origin, listener=REQUIRED + ", limits: { connections: 1 }") as sluice:
            silent = sluice.client()
            sluice.await_metric("sluice_connections", 1, state="idle")
            client = sluice.client()
            client.send(V1, GET)
            self.assertEqual(client.response().status, 200)
            self.assertTrue(silent.is_gone())

    def test_a_stop_while_one_is_awaited(self):
        with Origin(fine) as origin, Sluice.before(origin, listener=REQUIRED, top="drain: { min: 10ms, quiet: 10ms, max: 100ms, deadline: 300ms }") as sluice:
            silent = sluice.client()
            sluice.await_metric("sluice_connections", 1, state="idle")
            sluice.stop()
            self.assertTrue(silent.is_gone())

    def test_a_reload_turns_it_on_for_those_who_come(self):
        with Origin(fine) as origin, Sluice.before(origin) as sluice:
            before = sluice.client()
            self.assertEqual(before.get("/").status, 200)
            with open(sluice.config_file) as f:
                text = f.read()
            port = sluice.address[1]
            with open(sluice.config_file, "w") as f:
                f.write(text.replace("- { address: 127.0.0.1:0", "- { address: 127.0.0.1:0, " + REQUIRED))
            code, out, err = sluice.cli("reload")
            self.assertEqual(code, 0, out + err)
            self.assertEqual(sluice.address[1], port)
            self.assertEqual(before.get("/").status, 200)
            after = sluice.client()
            after.send(V1, GET)
            self.assertEqual(after.response().status, 200)
            self.assertEqual([r.get("x-real-ip") for r in origin.requests], ["127.0.0.1", "127.0.0.1", "203.0.113.7"])

    def test_an_upgrade_takes_it_along(self):
        ssl = tlv(0x20, b"\x01" + bytes(4))
        with Origin(fine) as origin, Sluice.before(origin, listener=REQUIRED) as sluice:
            clients = [sluice.client() for _ in range(2)]
            clients[0].send(v2(tlvs=tlv(5, b"id-1") + ssl), GET)
            clients[1].send(v2(tlvs=tlv(4, bytes(1000))), GET)  # does not fit the message: it stays
            for client in clients:
                self.assertEqual(client.response().status, 200)
            sluice.await_metric("sluice_connections", 2, state="idle")
            before = sluice.serving_pid()
            code, out, err = sluice.cli("upgrade")
            self.assertEqual(code, 0, out + err + sluice.stderr())
            eventually(lambda: sluice.serving_pid() != before)
            eventually(lambda: sluice.metric("sluice_connections_ended_total", by="handed_over") == 1)
            for client in clients:
                client.ask("/after")
                self.assertEqual(client.response().status, 200)
            for request in origin.requests[2:]:
                self.assertEqual((request.get("x-real-ip"), request.get("x-forwarded-port")), ("203.0.113.7", "443"))
            self.assertEqual(sluice.await_log(target="/after", scheme="https")["proxy_unique_id"], "id-1")


def read_header(wire):
    """-> (version, source, destination), each "ip port"; or (version, what it says instead)"""
    first = wire.take(6)
    if first == b"PROXY ":
        words = wire.take_until(b"\r\n").decode().split()
        return ("v1", words[0]) if words[0] == "UNKNOWN" else ("v1", words[1] + " " + words[3], words[2] + " " + words[4])
    assert first + wire.take(6) == SIGNATURE, "no PROXY header: %r" % first
    command, family, size = struct.unpack(">BBH", wire.take(4))
    content = wire.take(size)
    if command == 0x20 or family == 0:
        return "v2", "LOCAL" if command == 0x20 else "UNSPEC"
    assert command == 0x21 and family in (0x11, 0x21), (command, family)
    kind, n = (socket.AF_INET, 4) if family == 0x11 else (socket.AF_INET6, 16)
    ports = struct.unpack(">HH", content[2 * n:])
    return "v2", socket.inet_ntop(kind, content[:n]) + " %d" % ports[0], socket.inet_ntop(kind, content[n:2 * n]) + " %d" % ports[1]


def told(kind):
    class Told(kind):
        said = None

        def head(self):
            if self.said is None:
                self.said = read_header(self)
            message = super().head()
            message.said = self.said
            return message
    return Told


class ToldOrigin(Origin):
    kind = told(Served)


class ToldUwsgiOrigin(UwsgiOrigin):
    kind = told(UwsgiServed)

    def _serve(self, connection):  # one request a connection, as uWSGI has it
        try:
            request = connection.request()
            self.requests.append(request)
            connection.send(self.serve(request))
        except (Ended, OSError):
            pass
        except Exception as error:
            self.errors.append(error)
        finally:
            connection.close()


class Out(Scenario):
    ORIGINS = (("http1", ToldOrigin), ("uwsgi", ToldUwsgiOrigin))

    def test_each_request_begins_with_its_client(self):
        for version in ("v1", "v2"):
            for protocol, kind in self.ORIGINS:
                with self.subTest(version=version, protocol=protocol), kind(fine) as origin, \
                        Sluice.before(origin, upstream="proxy_protocol: " + version, protocol=protocol) as sluice:
                    clients = [sluice.client() for _ in range(2)]
                    for client in clients * 2:
                        self.assertEqual(client.get("/").status, 200)
                    self.assertEqual(clients[0].get("/", "POST", body="a body").status, 200)
                    expected = [(version, "127.0.0.1 %d" % c.sock.getsockname()[1], "127.0.0.1 %d" % sluice.address[1]) for c in clients * 2 + clients[:1]]
                    self.assertEqual([r.said for r in origin.requests], expected)
                    self.assertEqual(origin.requests[-1].body, b"a body")
                    self.assertEqual((origin.count, origin.errors), (5, []))

    def test_the_believed_client_is_told(self):
        with ToldOrigin(fine) as origin, Sluice.before(origin, listener="trusted_proxies: [ 127.0.0.0/8 ]", upstream="proxy_protocol: v1") as sluice:
            sluice.get("/", headers={"X-Forwarded-For": "203.0.113.9"})
            sluice.get("/", headers={"X-Forwarded-For": "2001:db8::9"})
            here = "%s %d" % ("127.0.0.1", sluice.address[1])
            self.assertEqual(origin.requests[0].said, ("v1", "203.0.113.9 0", here))
            self.assertEqual(origin.requests[1].said, ("v1", "2001:db8::9 0", "::ffff:" + here))

    def test_what_came_in_goes_out(self):
        for header in (V1, v2()):
            with ToldOrigin(fine) as origin, Sluice.before(origin, listener=REQUIRED, upstream="proxy_protocol: v2") as sluice:
                client = sluice.client()
                client.send(header, GET)
                self.assertEqual(client.response().status, 200)
                self.assertEqual(origin.requests[0].said, ("v2", "203.0.113.7 56324", "192.0.2.1 443"))

    def test_a_unix_client_is_unknown(self):
        for version, word in (("v1", "UNKNOWN"), ("v2", "UNSPEC")):
            with ToldOrigin(fine) as origin, Sluice("""
listeners: [ { address: "unix:$dir/front.sock" } ]
routes: [ { path: /, upstream: app } ]
upstreams: { app: { endpoints: [ "%s" ], proxy_protocol: %s } }
""" % (origin.endpoint, version)) as sluice:
                with Client(sluice.dir + "/front.sock") as client:
                    self.assertEqual(client.get("/").status, 200)
                self.assertEqual(origin.requests[0].said, (version, word))

    def test_checks_speak_for_themselves(self):
        for version in ("v1", "v2"):
            with ToldOrigin(fine) as origin, \
                    Sluice.before(origin, upstream="proxy_protocol: %s, health: { path: /health, interval: 50ms }" % version) as sluice:
                eventually(lambda: [r for r in origin.requests if r.target == "/health"], "a check")
                said = [r for r in origin.requests if r.target == "/health"][0].said
                if version == "v2":
                    self.assertEqual(said, ("v2", "LOCAL"))
                else:
                    self.assertEqual((said[1].split()[0], said[2]), ("127.0.0.1", "127.0.0.1 %d" % origin.port))
                self.assertEqual(sluice.get("/").status, 200)
                self.assertEqual(origin.errors, [])

    def test_a_retry_tells_it_again(self):
        def once(request):
            return answer("x") if len(origin.requests) > 1 else (None,)
        with ToldOrigin(once) as origin, Sluice.before(origin, upstream="proxy_protocol: v1") as sluice:
            self.assertEqual(sluice.get("/").status, 200)
            self.assertEqual(len(origin.requests), 2)
            self.assertEqual(origin.requests[0].said, origin.requests[1].said)


class Caller(Client):
    def __init__(self, address, source):
        Wire.__init__(self, socket.create_connection(address, PATIENCE, source_address=(source, 0)))


class Haproxy(Scenario):
    """The protocol's own program in front of sluice, and behind it."""

    def run_haproxy(self, folder, config, *sockets):
        path = os.path.join(folder, "haproxy.cfg")
        with open(path, "w") as f:
            f.write("global\n  maxconn 100\ndefaults\n  mode http\n  timeout connect 5s\n  timeout client 10s\n  timeout server 10s\n" + config)
        process = subprocess.Popen(["haproxy", "-db", "-q", "-f", path], pass_fds=[s.fileno() for s in sockets], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

        def end():
            process.kill()
            process.communicate()
        self.addCleanup(end)

    def listening(self):
        sock = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(sock.close)
        return sock

    def ask(self, address, source):
        """One request from this address -> (the answer, our own port)"""
        with Caller(address, source) as client:
            return client.get("/"), client.sock.getsockname()[1]

    def test_in_front(self):
        options = ("send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c,unique-id,authority", "send-proxy-v2-ssl")
        for option in options:
            with self.subTest(option), Origin(fine) as origin, Sluice.before(origin, listener=REQUIRED) as sluice:
                front = self.listening()
                self.run_haproxy(sluice.dir, "frontend front\n  bind fd@%d\n  unique-id-format %%[uuid()]\n  default_backend back\n"
                                 "backend back\n  server sluice 127.0.0.1:%d %s\n" % (front.fileno(), sluice.address[1], option), front)
                response, _ = self.ask(front.getsockname(), "127.0.0.5")
                self.assertEqual(response.status, 200)
                request, entry = origin.requests[0], sluice.await_log(status=200)
                self.assertEqual((request.get("x-real-ip"), entry["client"], entry["peer"]), ("127.0.0.5", "127.0.0.5", "127.0.0.1"))
                self.assertEqual(request.get("x-forwarded-port"), str(front.getsockname()[1]))
                if "unique-id" in option:
                    self.assertRegex(entry["proxy_unique_id"], "^[0-9a-f-]{36}$")

    def test_its_checks_keep_the_socket_s_address(self):
        with Origin(fine) as origin, Sluice.before(origin, listener=REQUIRED) as sluice:
            front = self.listening()
            self.run_haproxy(sluice.dir, "frontend front\n  bind fd@%d\n  default_backend back\nbackend back\n  option httpchk GET /check\n"
                             "  server sluice 127.0.0.1:%d send-proxy-v2 check inter 50ms\n" % (front.fileno(), sluice.address[1]), front)
            self.assertEqual(sluice.await_log(target="/check", status=200)["client"], "127.0.0.1")

    def test_behind(self):
        for version in ("v1", "v2"):
            behind = self.listening()
            with self.subTest(version), Sluice.before("127.0.0.1:%d" % behind.getsockname()[1], upstream="proxy_protocol: %s, health: { path: / }" % version) as sluice:
                self.run_haproxy(sluice.dir, "frontend behind\n  bind fd@%d accept-proxy\n"
                                 "  http-request return status 200 content-type text/plain lf-string \"%%[src] %%[src_port] %%[dst] %%[dst_port]\"\n"
                                 % behind.fileno(), behind)
                response, port = self.ask(sluice.address, "127.0.0.6")
                self.assertEqual(response.body.decode(), "127.0.0.6 %d 127.0.0.1 %d" % (port, sluice.address[1]))
