"""What a request says about its way when it reaches the application, and what comes through untouched."""
import hashlib
import hmac
import os

from harness import Scenario, Sluice
from wire import Origin, answer, chunks


class Fields(Scenario):
    def forwarded(self, headers=(), listener="", host="shop.example:8080", target="/"):
        with Origin(lambda r: answer("x")) as origin, Sluice.before(origin, listener=listener) as sluice:
            self.assertEqual(sluice.get(target, headers=headers, host=host).status, 200)
            self.port = sluice.address[1]
            return origin.requests[0]

    SPOOFED = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.example", "X-Forwarded-Port": "443",
               "Forwarded": "for=203.0.113.7;proto=https", "X-Real-IP": "203.0.113.7"}

    def test_from_anybody_they_are_made_anew(self):
        request = self.forwarded(self.SPOOFED)
        self.assertEqual(request.get("host"), "shop.example:8080")
        self.assertEqual(request.get("x-forwarded-for"), "127.0.0.1")
        self.assertEqual(request.get("x-forwarded-proto"), "http")
        self.assertEqual(request.get("x-forwarded-host"), "shop.example:8080")
        self.assertEqual(request.get("x-forwarded-port"), str(self.port))
        self.assertEqual(request.get("x-real-ip"), "127.0.0.1")
        self.assertNotIn("203.0.113.7", " ".join(request.all("forwarded")))

    def test_from_a_trusted_proxy_they_are_continued(self):
        request = self.forwarded(self.SPOOFED, listener="trusted_proxies: [ 127.0.0.0/8 ]")
        self.assertEqual([x.strip() for x in request.get("x-forwarded-for").split(",")], ["203.0.113.7", "127.0.0.1"])
        self.assertEqual(request.get("x-forwarded-proto"), "https")
        self.assertEqual(request.get("x-forwarded-host"), "evil.example")
        self.assertEqual(request.get("x-forwarded-port"), "443")
        self.assertEqual(request.get("x-real-ip"), "203.0.113.7")

    def test_the_believed_client_is_the_first_untrusted_from_the_right(self):
        with Origin(lambda r: answer("x")) as origin, Sluice.before(origin, listener="trusted_proxies: [ 127.0.0.0/8, 10.0.0.0/8 ]") as sluice:
            sluice.get("/", headers={"X-Forwarded-For": "1.1.1.1, 203.0.113.9, 10.1.2.3"})
            self.assertEqual(origin.requests[0].get("x-real-ip"), "203.0.113.9")
            entry = sluice.await_log(status=200)
            self.assertEqual((entry["client"], entry["peer"]), ("203.0.113.9", "127.0.0.1"))

    def test_several_fields_count_as_one_list(self):
        request = self.forwarded([("X-Forwarded-For", "1.1.1.1"), ("X-Forwarded-For", "203.0.113.9")], listener="trusted_proxies: [ 127.0.0.0/8 ]")
        self.assertEqual([x.strip() for x in ",".join(request.all("x-forwarded-for")).split(",")], ["1.1.1.1", "203.0.113.9", "127.0.0.1"])
        self.assertEqual(request.get("x-real-ip"), "203.0.113.9")

    def test_request_ids(self):
        made = self.forwarded().get("x-request-id")
        self.assertRegex(made, "^[0-9a-zA-Z-]{16,}$")
        self.assertNotEqual(self.forwarded().get("x-request-id"), made)
        self.assertEqual(self.forwarded({"X-Request-Id": "abc-1"}, listener="trusted_proxies: [ 127.0.0.0/8 ]").get("x-request-id"), "abc-1")

    def test_the_request_id_is_in_the_log(self):
        with Origin(lambda r: answer("x")) as origin, Sluice.before(origin) as sluice:
            sluice.get("/")
            self.assertEqual(sluice.await_log(status=200)["request_id"], origin.requests[0].get("x-request-id"))

    def test_traces_pass(self):
        given = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": "a=b",
                 "X-Amzn-Trace-Id": "Root=1-67891233-abcdef012345678912345678"}
        request = self.forwarded(given)
        for name, value in given.items():
            self.assertEqual(request.get(name), value)

    def test_hop_by_hop_fields_end_here(self):
        request = self.forwarded([("Connection", "keep-alive, X-Hop"), ("X-Hop", "1"), ("Keep-Alive", "timeout=5"), ("TE", "trailers"),
                                  ("Proxy-Connection", "keep-alive"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABk"), ("X-End", "2")])
        for name in ("x-hop", "keep-alive", "te", "proxy-connection", "upgrade", "http2-settings"):
            self.assertFalse(request.has(name), name)
        self.assertEqual(request.get("x-end"), "2")

    def test_a_client_cannot_nominate_what_sluice_sets(self):
        request = self.forwarded({"Connection": "close, X-Forwarded-For, Host, X-Real-IP"})
        self.assertEqual((request.get("x-forwarded-for"), request.get("x-real-ip"), request.get("host")), ("127.0.0.1", "127.0.0.1", "shop.example:8080"))

    def test_dangerous_names_are_dropped(self):
        request = self.forwarded([("Proxy", "http://evil"), ("X_Forwarded_For", "9.9.9.9"), ("Content_Length", "5"), ("X-Accel-Redirect", "/etc")])
        for name in ("proxy", "x_forwarded_for", "content_length", "x-accel-redirect"):
            self.assertFalse(request.has(name), name)

    def test_everything_else_passes_in_order(self):
        given = [("Accept", "a"), ("Cookie", "a=1; b=2"), ("X-Long", "v" * 5000), ("X-Odd", "caf\xe9 \"quoted\""), ("Authorization", "Basic eDp5"), ("X-Twice", "1"), ("X-Twice", "2")]
        request = self.forwarded(given)
        names = {n.lower() for n, _ in given}
        self.assertEqual([(n, v) for n, v in request.headers if n in names], [(n.lower(), v) for n, v in given])


class Bytes(Scenario):
    def test_a_signed_webhook_verifies(self):
        key, body = b"k", b'{"paid": 1,\r\n "note": "caf\xc3\xa9 \x00\xff"}  '
        signature = hmac.new(key, body, hashlib.sha256).hexdigest()

        def verify(request):
            return answer("good" if hmac.new(key, request.body, hashlib.sha256).hexdigest() == request.get("x-signature") else "bad")
        with Origin(verify) as origin, Sluice.before(origin) as sluice:
            client = sluice.client()
            self.assertEqual(client.get("/hook", "POST", body=body, headers={"X-Signature": signature}).body, b"good")
            client.ask("/hook", "POST", headers={"X-Signature": signature, "Transfer-Encoding": "chunked"})
            client.send(chunks(body[:7], body[7:]))
            self.assertEqual(client.response().body, b"good")

    def test_random_bodies_both_ways(self):
        with Origin(lambda r: answer(r.body, chunked=len(r.body) % 2 == 0)) as origin, Sluice.before(origin) as sluice:
            client = sluice.client()
            for size in (1, 2, 100, 4095, 4096, 4097, 16384, 65535, 65536, 65537, 1000000):
                body = os.urandom(size)
                self.assertEqual(client.get("/", "POST", body=body).body, body, size)
