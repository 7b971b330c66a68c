"""The uwsgi protocol towards an application: one packet of variables, the body, a raw HTTP answer."""
import tempfile

from harness import Scenario, Sluice
from wire import Ended, UwsgiOrigin, answer, chunks, eventually


def echo(request):
    return answer(request.body, headers={"X-Length": request.vars.get("CONTENT_LENGTH", "none")})


class Packets(Scenario):
    def seen(self, target="/", method="GET", host="example.com", **more):
        with UwsgiOrigin(echo) as origin, Sluice.before(origin, protocol="uwsgi") as sluice:
            sluice.get(target, method, host=host, **more)
            self.port = sluice.address[1]
            return origin.requests[0]

    def test_the_variables(self):
        request = self.seen("/a%20b/?x=1&y=%20", host="shop.example:8080", headers={"Accept": "text/html", "X-Own-Field": "v"})
        expected = {"QUERY_STRING": "x=1&y=%20", "REQUEST_METHOD": "GET", "REQUEST_URI": "/a%20b/?x=1&y=%20", "PATH_INFO": "/a b/",
                    "SERVER_PROTOCOL": "HTTP/1.1", "REQUEST_SCHEME": "http", "REMOTE_ADDR": "127.0.0.1",
                    "HTTP_HOST": "shop.example:8080", "HTTP_ACCEPT": "text/html", "HTTP_X_OWN_FIELD": "v",
                    "HTTP_X_FORWARDED_FOR": "127.0.0.1", "HTTP_X_FORWARDED_PROTO": "http"}
        for name, value in expected.items():
            self.assertEqual(request.vars.get(name), value, name)
        self.assertIn(request.vars.get("CONTENT_LENGTH", ""), ("", "0"))
        self.assertNotIn("HTTPS", request.vars)
        for name in ("SERVER_NAME", "SERVER_PORT", "REMOTE_PORT"):
            self.assertTrue(request.vars.get(name), name)

    def test_a_body_by_length(self):
        request = self.seen("/", "POST", body="a=1&b=2", headers={"Content-Type": "application/x-www-form-urlencoded"})
        self.assertEqual((request.body, request.vars["CONTENT_LENGTH"], request.vars["CONTENT_TYPE"]),
                         (b"a=1&b=2", "7", "application/x-www-form-urlencoded"))
        self.assertNotIn("HTTP_CONTENT_LENGTH", request.vars)
        self.assertNotIn("HTTP_CONTENT_TYPE", request.vars)

    def test_a_chunked_body_is_unchunked(self):
        for buffering in ("on", "off"):
            with UwsgiOrigin(echo) as origin, Sluice.before(origin, protocol="uwsgi", route="buffering: " + buffering) as sluice:
                client = sluice.client()
                client.ask("/", "POST", headers={"Transfer-Encoding": "chunked"})
                client.send(chunks(b"one", b"two"))
                response = client.response()
                self.assertEqual((response.body, response.get("x-length")), (b"onetwo", "6"))
                self.assertNotIn("HTTP_TRANSFER_ENCODING", origin.requests[0].vars)

    def test_what_a_client_may_not_set(self):
        request = self.seen(headers=[("Proxy", "http://evil"), ("X_Under_Score", "1"), ("Remote_User", "root"), ("HTTPS", "on"),
                                     ("X-Forwarded-Proto", "https"), ("X-Forwarded-SSL", "on"), ("Expect", "100-continue")])
        for name in ("HTTP_PROXY", "HTTP_X_UNDER_SCORE", "HTTP_REMOTE_USER", "REMOTE_USER", "HTTP_EXPECT", "HTTP_X_FORWARDED_SSL", "HTTPS"):
            self.assertNotIn(name, request.vars)
        self.assertEqual(request.vars["HTTP_X_FORWARDED_PROTO"], "http")
        for name in request.vars:
            self.assertFalse(name.startswith("UWSGI_") or name == "SCRIPT_NAME" and request.vars[name], name)

    def test_repeated_fields_become_one_variable(self):
        request = self.seen(headers=[("X-A", "1"), ("X-A", "2"), ("Cookie", "a=1"), ("Cookie", "b=2")])
        self.assertEqual((request.vars["HTTP_X_A"].replace(" ", ""), request.vars["HTTP_COOKIE"]), ("1,2", "a=1; b=2"))

    def test_an_empty_value_stays(self):
        self.assertEqual(self.seen(headers={"X-Empty": ""}).vars["HTTP_X_EMPTY"], "")

    def test_it_asks_for_one_request_a_connection(self):
        self.assertEqual(self.seen().vars.get("HTTP_CONNECTION"), "close")


class Answers(Scenario):
    def test_by_length_by_end_and_chunked(self):
        replies = {"/length": answer("by length"), "/end": b"HTTP/1.1 200 OK\r\n\r\nby end",
                   "/chunked": answer("chunked", chunked=True), "/10": b"HTTP/1.0 200 OK\r\nX: y\r\n\r\nhttp/1.0"}
        with UwsgiOrigin(lambda r: replies[r.target]) as origin, Sluice.before(origin, protocol="uwsgi") as sluice:
            client = sluice.client()
            self.assertEqual([client.get(t).body for t in replies], [b"by length", b"by end", b"chunked", b"http/1.0"])
            self.assertEqual(origin.count, 4)

    def test_head_and_204(self):
        replies = {"/h": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "/n": b"HTTP/1.1 204 No Content\r\n\r\n"}
        with UwsgiOrigin(lambda r: replies[r.target]) as origin, Sluice.before(origin, protocol="uwsgi") as sluice:
            client = sluice.client()
            self.assertEqual(client.get("/h", "HEAD").get("content-length"), "5")
            self.assertEqual(client.get("/n").status, 204)
            self.assertEqual(client.get("/h", "HEAD").status, 200)

    def test_truncated(self):
        with UwsgiOrigin(lambda r: b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf") as origin, Sluice.before(origin, protocol="uwsgi") as sluice:
            with sluice.client() as client:
                try:
                    self.assertEqual(client.get("/").status, 502)
                except Ended:
                    pass

    def test_no_answer(self):
        with UwsgiOrigin(lambda r: b"") as origin, Sluice.before(origin, protocol="uwsgi", upstream="retry: { attempts: 1 }") as sluice:
            self.assertEqual(sluice.get("/").status, 502)
            sluice.await_reason(502)

    def test_over_a_unix_socket(self):
        with tempfile.TemporaryDirectory(prefix="sl.") as folder, UwsgiOrigin(echo, path=folder + "/app.sock") as origin, \
                Sluice.before(origin, protocol="uwsgi") as sluice:
            self.assertEqual(sluice.get("/", "POST", body=b"x" * 300000).body, b"x" * 300000)


class Limits(Scenario):
    def closing(self, headers, word):
        """An application that closes on too large a block: the error log tells the reason."""
        with UwsgiOrigin() as origin, Sluice.before(origin, protocol="uwsgi", upstream="retry: { attempts: 1 }") as sluice:
            client = sluice.client()
            client.ask("/", headers=headers)
            served = origin.accept()
            served.head()
            served.close()
            self.assertEqual(client.response().status, 502)
            eventually(lambda: word in sluice.stderr(), "%s in the process log" % word)

    def test_a_block_over_uwsgis_buffer_size_is_named(self):
        self.closing({"X-Large": "a" * 5000}, "buffer-size")

    def test_too_many_variables_are_named(self):
        self.closing([("X-%d" % n, "1") for n in range(150)], "max-vars")

    def test_a_block_over_64_kib_cannot_be_sent(self):
        with UwsgiOrigin(echo) as origin, Sluice.before(origin, protocol="uwsgi", listener="limits: { headers: 200KiB }") as sluice:
            response = sluice.get("/", headers=[("X-%d" % n, "a" * 15000) for n in range(6)])
            self.assertIn(response.status, (431, 502))
            self.assertEqual(origin.requests, [])
