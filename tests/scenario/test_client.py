"""HTTP/1.1 towards clients: what a client may do, and what it gets."""
from harness import Scenario, Sluice
from wire import Origin, answer, chunks


def echo(request):
    return answer(b"%s %s" % (request.method.encode(), request.target.encode("latin-1")))


class KeepAlive(Scenario):
    def test_many_requests_on_one_connection(self):
        with Origin(echo) as origin, Sluice.before(origin) as sluice:
            client = sluice.client()
            for n in range(50):
                self.assertEqual(client.get("/%d" % n).body, b"GET /%d" % n)
            self.assertEqual(origin.count, 1)  # and one towards the origin

    def test_pipelined_requests_are_answered_in_order(self):
        with Origin(echo) as origin, Sluice.before(origin) as sluice:
            client = sluice.client()
            client.send("".join("GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % n for n in range(20)))
            self.assertEqual([client.response().body for n in range(20)], [b"GET /%d" % n for n in range(20)])

    def test_pipelined_after_a_body(self):
        with Origin(lambda r: answer(r.body + b"|" + r.target.encode())) as origin, Sluice.before(origin) as sluice:
            client = sluice.client()
            client.send("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
                        "POST /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", chunks(b"de", b"f"),
                        "GET /c HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertEqual([client.response().body for _ in range(3)], [b"abc|/a", b"def|/b", b"|/c"])

    def test_one_byte_at_a_time(self):
        with Origin(lambda r: answer(r.body)) as origin, Sluice.before(origin) as sluice:
            client = sluice.client()
            for byte in b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks(b"abc", b"defg"):
                client.send(bytes([byte]))
            self.assertEqual(client.response().body, b"abcdefg")

    def test_connection_close_is_honoured(self):
        with Origin(echo) as origin, Sluice.before(origin) as sluice:
            client = sluice.client()
            response = client.get("/", headers={"Connection": "close"})
            self.assertIn("close", response.get("connection"))
            client.at_end()
            self.assertEqual(sluice.client().get("/b").body, b"GET /b")
            self.assertEqual(origin.count, 1)  # the client's wish is not the origin's business

    def test_http10_gets_its_answer_and_the_end(self):
        with Origin(echo) as origin, Sluice.before(origin) as sluice:
            client = sluice.client()
            response = client.get("/old", version="1.0")
            self.assertEqual(response.body, b"GET /old")
            client.at_end()

    def test_http10_may_ask_for_keep_alive(self):
        with Origin(echo) as origin, Sluice.before(origin) as sluice:
            client = sluice.client()
            for n in range(2):
                response = client.get("/%d" % n, version="1.0", headers={"Connection": "keep-alive"})
                self.assertEqual(response.get("connection").lower(), "keep-alive")

    def test_http10_gets_no_chunks(self):
        with Origin(lambda r: answer("streamed", chunked=True)) as origin, Sluice.before(origin) as sluice:
            response = sluice.get("/", version="1.0")
            self.assertNotEqual(response.framing, "chunked")
            self.assertEqual(response.body, b"streamed")


class Bodies(Scenario):
    def test_chunked_both_ways_with_trailers(self):
        with Origin() as origin, Sluice.before(origin, route="buffering: off") as sluice:
            client = sluice.client()
            client.ask("/t", "POST", headers={"Transfer-Encoding": "chunked", "Trailer": "X-Sum"})
            client.send(chunks(b"one", b"two", trailers={"X-Sum": "6"}))
            served = origin.accept()
            request = served.request()
            self.assertEqual((request.body, request.framing), (b"onetwo", "chunked"))
            self.assertEqual(request.trailers, [("x-sum", "6")])
            served.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-End\r\n\r\n",
                        chunks(b"three", trailers={"X-End": "yes"}))
            response = client.response()
            self.assertEqual((response.body, response.trailers), (b"three", [("x-end", "yes")]))

    def test_buffered_chunked_request_gets_a_length(self):
        with Origin() as origin, Sluice.before(origin) as sluice:
            client = sluice.client()
            client.ask("/", "POST", headers={"Transfer-Encoding": "chunked"})
            client.send(chunks(b"one", b"two"))
            served = origin.accept()
            request = served.request()
            self.assertEqual((request.body, request.get("content-length")), (b"onetwo", "6"))
            served.send(answer("ok"))
            self.assertEqual(client.response().status, 200)

    def test_head_gets_the_head_only(self):
        reply = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nX-A: b\r\n\r\n"
        with Origin(lambda r: reply if r.method == "HEAD" else echo(r)) as origin, Sluice.before(origin) as sluice:
            client = sluice.client()
            response = client.get("/", "HEAD")
            self.assertEqual((response.get("content-length"), response.get("x-a")), ("1000", "b"))
            self.assertEqual(client.get("/next").body, b"GET /next")
            self.assertEqual(origin.count, 1)

    def test_204_and_304_have_no_body(self):
        replies = {"/204": b"HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n",
                   "/304": b'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\nContent-Length: 77\r\n\r\n'}
        with Origin(lambda r: replies.get(r.target) or echo(r)) as origin, Sluice.before(origin) as sluice:
            client = sluice.client()
            response = client.get("/204")
            self.assertEqual((response.status, response.has("content-length"), response.has("transfer-encoding")), (204, False, False))
            response = client.get("/304")
            self.assertEqual((response.status, response.get("etag")), (304, '"x"'))
            self.assertEqual(client.get("/next").body, b"GET /next")

    def test_empty_bodies(self):
        with Origin(lambda r: answer("", chunked=r.target == "/chunked")) as origin, Sluice.before(origin) as sluice:
            client = sluice.client()
            for target in ("/length", "/chunked", "/length"):
                self.assertEqual(client.get(target).body, b"")


class Expect(Scenario):
    def test_100_continue_is_sent_once_by_sluice(self):
        with Origin() as origin, Sluice.before(origin) as sluice:
            client = sluice.client()
            client.ask("/", "POST", headers={"Expect": "100-continue", "Content-Length": "5"})
            self.assertEqual(client.head().status, 100)
            self.assertTrue(origin.is_left_alone())  # the body is not complete yet
            client.send("hello")
            served = origin.accept()
            request = served.request()
            self.assertEqual(request.body, b"hello")
            self.assertFalse(request.has("expect"))
            served.send("HTTP/1.1 100 Continue\r\n\r\n", answer("done"))  # an origin may say it unasked
            response = client.response()
            self.assertEqual((response.body, [i.status for i in response.interims if i.status == 100]), (b"done", []))

    def test_no_100_when_the_body_is_already_there(self):
        with Origin(lambda r: answer(r.body)) as origin, Sluice.before(origin) as sluice:
            response = sluice.get("/", "POST", headers={"Expect": "100-continue"}, body="hello")
            self.assertEqual(response.body, b"hello")
            self.assertLessEqual(len(response.interims), 1)

    def test_not_for_http10(self):
        with Origin(lambda r: answer(r.body)) as origin, Sluice.before(origin) as sluice:
            client = sluice.client()
            client.ask("/", "POST", headers={"Expect": "100-continue", "Content-Length": "5"}, version="1.0")
            self.assertTrue(client.is_silent(0.1))
            client.send("hello")
            response = client.response()
            self.assertEqual((response.interims, response.body), ([], b"hello"))

    def test_too_large_a_body_is_refused_before_it_is_sent(self):
        with Origin() as origin, Sluice.before(origin, listener="limits: { body: 1KiB }") as sluice:
            client = sluice.client()
            client.ask("/", "POST", headers={"Expect": "100-continue", "Content-Length": "5000"})
            response = client.response()
            self.assertEqual((response.status, response.interims), (413, []))
            self.assertTrue(origin.is_left_alone(0.05))


    def test_other_expectations_fail(self):
        with Origin(lambda r: answer(r.body)) as origin, Sluice.before(origin) as sluice:
            self.assertIn(sluice.get("/", headers={"Expect": "a-miracle"}).status, (200, 417))  # RFC 9110 §10.1.1: MAY
            self.assertEqual(sluice.get("/").status, 200)


class Interim(Scenario):
    def test_103_is_passed_on_several_times(self):
        with Origin() as origin, Sluice.before(origin) as sluice:
            client = sluice.client()
            client.ask("/")
            served = origin.accept()
            served.request()
            served.send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n")
            early = client.head()  # at once, not together with the answer
            self.assertEqual((early.status, early.get("link")), (103, "</a.css>; rel=preload"))
            served.send("HTTP/1.1 103 Early Hints\r\nLink: </b.js>; rel=preload\r\n\r\n", answer("done"))
            response = client.response()
            self.assertEqual(([i.status for i in response.interims], response.body), ([103], b"done"))

    def test_not_to_http10(self):
        reply = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + answer("done")
        with Origin(lambda r: reply) as origin, Sluice.before(origin) as sluice:
            response = sluice.get("/", version="1.0")
            self.assertEqual((response.interims, response.body), ([], b"done"))


class Targets(Scenario):
    def test_absolute_form_names_the_host(self):
        with Origin() as origin, Sluice.before(origin) as sluice:
            client = sluice.client()
            client.ask("http://other.example/p?q=1", host="other.example")
            served = origin.accept()
            request = served.request()
            self.assertEqual((request.target, request.get("host")), ("/p?q=1", "other.example"))
            served.send(answer("ok"))
            self.assertEqual(client.response().status, 200)

    def test_options_asterisk(self):
        with Origin(echo) as origin, Sluice.before(origin) as sluice:
            response = sluice.get("*", "OPTIONS")
            self.assertIn(response.status, (200, 204))
            for request in origin.requests:
                self.assertEqual(request.target, "*")

    def test_the_target_is_passed_on_as_sent(self):
        with Origin(echo) as origin, Sluice.before(origin) as sluice:
            client = sluice.client()
            for target in ("/a%20b", "/a%2Fb", "/%E2%82%AC?x=%26&y", "/a//b", "/;p=1?", "/~u/!$&'()*+,;=:@"):
                self.assertEqual(client.get(target).body, b"GET " + target.encode())

    def test_connect_and_trace_are_refused(self):
        with Origin(echo) as origin, Sluice.before(origin) as sluice:
            for method, target in (("CONNECT", "example.com:443"), ("TRACE", "/")):
                with sluice.client() as client:
                    client.ask(target, method, host="example.com:443")
                    self.assertIn(client.response().status, (400, 405, 501))
            self.assertEqual(origin.requests, [])

    def test_other_methods_pass(self):
        with Origin(echo) as origin, Sluice.before(origin) as sluice:
            client = sluice.client()
            for method in ("PUT", "PATCH", "DELETE", "PROPFIND", "X-OWN", "get"):
                self.assertEqual(client.get("/", method).body, method.encode() + b" /")


class HalfClosed(Scenario):
    def test_a_half_closed_client_gets_its_answer(self):
        with Origin() as origin, Sluice.before(origin) as sluice:
            client = sluice.client()
            client.ask("/")
            client.finish_sending()
            served = origin.accept()
            served.request()
            served.send(answer("late but here"))
            self.assertEqual(client.response().body, b"late but here")
            client.at_end()

    def test_pipelined_then_half_closed(self):
        with Origin(echo) as origin, Sluice.before(origin) as sluice:
            client = sluice.client()
            client.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n")
            client.finish_sending()
            self.assertEqual([client.response().body for _ in range(2)], [b"GET /a", b"GET /b"])
            client.at_end()

    def test_a_body_cut_by_the_client_never_reaches_the_application(self):
        with Origin() as origin, Sluice.before(origin) as sluice:
            client = sluice.client()
            client.ask("/", "POST", headers={"Content-Length": "10"})
            client.send("half")
            client.finish_sending()
            client.is_gone()
            self.assertTrue(origin.is_left_alone(0.05))
            self.assertTrue(sluice.await_log(method="POST")["reason"])

    def test_a_client_that_left_is_499_in_the_log(self):
        with Origin() as origin, Sluice.before(origin) as sluice:
            client = sluice.client()
            client.ask("/slow")
            served = origin.accept()
            served.request()
            client.reset()
            served.is_gone()  # and the application learns of it
            sluice.await_reason(499, target="/slow")


class EarlyAnswers(Scenario):
    def test_an_early_answer_reaches_a_client_that_still_sends(self):
        with Origin() as origin, Sluice.before(origin, route="buffering: { request: off }") as sluice:
            client = sluice.client()
            client.ask("/", "POST", headers={"Content-Length": str(50 << 20)})
            client.send(b"x" * 100000)
            served = origin.accept()
            served.head()
            served.send(answer("no thanks", status=403, headers={"Connection": "close"}))
            client.sock.settimeout(0.3)
            try:  # a client that reads only after it has sent a lot more
                client.sock.sendall(b"x" * 500000)
            except (TimeoutError, OSError):
                pass
            response = client.response()
            self.assertEqual((response.status, response.body), (403, b"no thanks"))

    def test_413_reaches_a_client_that_still_sends(self):
        with Origin() as origin, Sluice.before(origin, listener="limits: { body: 1KiB }") as sluice:
            client = sluice.client()
            client.ask("/", "POST", headers={"Content-Length": "500000"})
            client.send(b"x" * 500000)  # unread bytes would make the kernel reset the connection
            self.assertEqual(client.response().status, 413)
            client.finish_sending()
            client.at_end()


class Malformed(Scenario):
    def test_the_answer_to_nonsense_is_logged_and_counted(self):
        with Origin() as origin, Sluice.before(origin) as sluice:
            for raw in ("NONSENSE\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"):
                with sluice.client() as client:
                    client.send(raw)
                    self.assertEqual(client.response().status, 400)
                    client.at_end()
            sluice.await_reason(400)
            self.assertTrue(origin.is_left_alone(0.05))

    def test_a_bad_request_after_a_good_one_ends_the_connection(self):
        with Origin(echo) as origin, Sluice.before(origin) as sluice:
            client = sluice.client()
            client.send("GET /ok HTTP/1.1\r\nHost: a\r\n\r\nGET /bad HTTP/1.1\r\nHost : a\r\n\r\nGET /never HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertEqual(client.response().body, b"GET /ok")
            self.assertEqual(client.response().status, 400)
            client.at_end()
            self.assertEqual([r.target for r in origin.requests], ["/ok"])
