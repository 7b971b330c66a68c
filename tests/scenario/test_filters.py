"""The filters that ship: headers, compress, ip_access."""
import gzip

from harness import Scenario, Sluice
from wire import Origin, answer

TEXT = b"all work and no play makes jack a dull boy\n" * 200


class Headers(Scenario):
    def test_set_add_remove_default(self):
        with Origin(lambda r: answer("x", headers={"Server": "gunicorn", "X-Old": "1"})) as origin, Sluice.before(origin, route="""filters: [ { headers: {
            request: { set: { X-Tenant: acme }, remove: [ X-Debug ], default: { X-Lang: en } },
            response: { set: { X-Frame-Options: DENY }, remove: [ Server, X-Old ], add: { X-Via: sluice } } } } ]""") as sluice:
            response = sluice.get("/", headers={"X-Tenant": "evil", "X-Debug": "1", "X-Lang": "ko"})
            self.assertEqual((response.get("x-frame-options"), response.has("server"), response.has("x-old"), response.get("x-via")), ("DENY", False, False, "sluice"))
            request = origin.requests[0]
            self.assertEqual((request.get("x-tenant"), request.has("x-debug"), request.get("x-lang")), ("acme", False, "ko"))

    def test_on_answers_of_sluice_itself(self):
        with Sluice("routes: [ { path: /, respond: { body: x }, filters: [ { headers: { response: { set: { X-A: b } } } } ] } ]") as sluice:
            self.assertEqual(sluice.get("/").get("x-a"), "b")


class Compress(Scenario):
    def ask(self, reply_headers, request_headers, body=TEXT, chunked=False, method="GET", settings="{}"):
        with Origin(lambda r: answer(body, headers=reply_headers, chunked=chunked)) as origin, \
                Sluice.before(origin, route="filters: [ { compress: %s } ]" % settings) as sluice:
            return sluice.get("/", method, headers=request_headers)

    def test_gzip(self):
        for chunked in (False, True):
            response = self.ask({"Content-Type": "text/plain", "ETag": '"v1"', "Accept-Ranges": "bytes"}, {"Accept-Encoding": "gzip"}, chunked=chunked)
            self.assertEqual((response.get("content-encoding"), gzip.decompress(response.body)), ("gzip", TEXT))
            self.assertIn("accept-encoding", response.get("vary").lower())
            self.assertEqual(response.get("etag"), 'W/"v1"')
            self.assertFalse(response.has("accept-ranges"))

    def test_br_and_zstd(self):
        for coding in ("br", "zstd"):
            response = self.ask({"Content-Type": "application/json"}, {"Accept-Encoding": coding})
            self.assertEqual(response.get("content-encoding"), coding)
            self.assertLess(len(response.body), len(TEXT) // 4)

    def test_left_alone(self):
        text = {"Content-Type": "text/plain"}
        for reply, request in ((text, {}), (text, {"Accept-Encoding": "identity"}), (text, {"Accept-Encoding": "gzip;q=0"}),
                               ({"Content-Type": "image/png"}, {"Accept-Encoding": "gzip"}),
                               ({**text, "Content-Encoding": "br"}, {"Accept-Encoding": "gzip"}),
                               ({**text, "Cache-Control": "no-transform"}, {"Accept-Encoding": "gzip"}),
                               ({**text, "Content-Range": "bytes 0-8599/8600"}, {"Accept-Encoding": "gzip"})):
            response = self.ask(reply, request)
            self.assertEqual(response.body, TEXT, (reply, request))

    def test_small_ones_are_left_alone(self):
        self.assertEqual(self.ask({"Content-Type": "text/plain"}, {"Accept-Encoding": "gzip"}, body=b"tiny").body, b"tiny")

    def test_streamed_pieces_are_flushed(self):
        import zlib
        from wire import chunks
        with Origin() as origin, Sluice.before(origin, route="filters: [ { compress: {} } ], buffering: off") as sluice:
            client = sluice.client()
            client.ask("/", headers={"Accept-Encoding": "gzip"})
            served = origin.accept()
            served.request()
            served.send("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n", chunks(b"first piece", last=False))
            self.assertEqual(client.head().get("content-encoding"), "gzip")
            decoder, got = zlib.decompressobj(31), b""
            while b"first piece" not in got:  # before the answer goes on
                got += decoder.decompress(client.take(int(client.take_until("\r\n"), 16)))
                client.take(2)
            served.send(chunks(b" second"))
            while not decoder.eof:
                got += decoder.decompress(client.take(int(client.take_until("\r\n"), 16)))
                client.take(2)
            self.assertEqual(got, b"first piece second")


class IpAccess(Scenario):
    def status(self, rules, headers=(), listener=""):
        with Origin(lambda r: answer("x")) as origin, Sluice.before(origin, route="filters: [ { ip_access: %s } ]" % rules, listener=listener) as sluice:
            return sluice.get("/", headers=headers).status

    def test_rules(self):
        self.assertEqual(self.status("{ allow: [ 10.0.0.0/8 ] }"), 403)
        self.assertEqual(self.status("{ allow: [ 127.0.0.0/8 ] }"), 200)
        self.assertEqual(self.status("{ deny: [ 127.0.0.1 ] }"), 403)
        self.assertEqual(self.status("{ deny: [ 10.0.0.0/8 ] }"), 200)

    def test_it_goes_by_the_believed_client(self):
        spoof = {"X-Forwarded-For": "10.1.1.1"}
        self.assertEqual(self.status("{ allow: [ 10.0.0.0/8 ] }", spoof), 403)
        self.assertEqual(self.status("{ allow: [ 10.0.0.0/8 ] }", spoof, "trusted_proxies: [ 127.0.0.1/32 ]"), 200)
