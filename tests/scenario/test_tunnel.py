"""Upgrades: WebSockets and other tunnels, their limits, and what a drain, a reload and an upgrade do to them."""
import asyncio
import signal
import threading
import time

from harness import SANITIZED, Scenario, Sluice, Stopwatch
from websocket_peers import Clients, EchoServer, connect
from wire import Ended, Origin, answer, eventually

KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
SWITCHED = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n"
QUICK = "drain: { min: 50ms, quiet: 50ms, max: 200ms, deadline: 6s, tunnels: %s }\n"
CLOSE_1012, CLOSE_1001 = b"\x88\x02\x03\xf4", b"\x88\x02\x03\xe9"


def opening(token="tcp", target="/", more=""):
    more += KEY if token.lower() == "websocket" else ""
    return "GET %s HTTP/1.1\r\nHost: example.com\r\nConnection: Upgrade\r\nUpgrade: %s\r\n%s\r\n" % (target, token, more)


def tunnel(sluice, origin, token="tcp", target="/", listener=0):
    """-> both ends of one that is open"""
    client = sluice.client(listener)
    client.send(opening(token, target))
    served = origin.accept()
    request = served.head()
    assert request.get("upgrade") == token, request.headers
    served.send(SWITCHED % token)
    response = client.response()
    assert response.status == 101 and response.get("upgrade") == token, response.headers
    return client, served


def unmasked(frame):
    """Of a masked frame with a short payload -> (first byte, payload)"""
    assert frame[1] & 0x80, frame
    return frame[0], bytes(b ^ frame[2 + i % 4] for i, b in enumerate(frame[6:]))


class Relaying(Scenario):
    def test_websockets_by_others(self):
        async def talk(address):
            async with connect(address, "/chat") as socket:
                for size in (0, 1, 125, 126, 65535, 65536, 3 << 20):
                    message = bytes(i % 251 for i in range(1000)) * (size // 1000) + b"x" * (size % 1000)
                    await socket.send(message)
                    assert await socket.recv() == message, size
                await asyncio.gather(*(socket.send("burst %d" % n) for n in range(2000)))
                for n in range(2000):
                    assert await socket.recv() == "burst %d" % n
                await (await socket.ping())
            return socket.close_code
        with EchoServer() as server, Sluice.before(server) as sluice:
            self.assertEqual(asyncio.run(talk(sluice.address)), 1000)
            entry = sluice.await_log(target="/chat")
            self.assertEqual((entry["status"], entry["tunnel"], entry.get("reason")), (101, "client", None))
            self.assertGreater(entry["bytes_in"], 10000)
            self.assertGreater(entry["bytes_out"], 10000)
            sluice.await_metric("sluice_tunnels_ended_total", 1, by="client")
            self.assertEqual(sluice.metric("sluice_tunnels"), 0)
            self.assertEqual(sluice.metric("sluice_tunnel_bytes_total", direction="in"), entry["bytes_in"])
            self.assertEqual(sluice.metric("sluice_tunnel_bytes_total", direction="out"), entry["bytes_out"])
            self.assertEqual(sluice.metric("sluice_dropped_total"), 0)

    def test_bytes_right_behind_the_request_and_behind_the_answer(self):
        with Origin() as origin, Sluice.before(origin) as sluice:
            client = sluice.client()
            client.send(opening(), "GET / HTTP/1.1\r\n\r\nearly")
            served = origin.accept()
            served.head()
            self.assertTrue(served.is_silent(0.1))  # nobody has agreed to anything yet
            served.send(SWITCHED % "tcp", "HTTP/1.1 200 OK\r\n\r\nback")
            self.assertEqual(served.take(23), b"GET / HTTP/1.1\r\n\r\nearly")
            self.assertEqual(client.response().status, 101)
            self.assertEqual(client.take(23), b"HTTP/1.1 200 OK\r\n\r\nback")

    def test_half_close_each_way(self):
        for first in ("client", "upstream"):
            with self.subTest(first=first), Origin() as origin, Sluice.before(origin) as sluice:
                client, served = tunnel(sluice, origin)
                one, other = (client, served) if first == "client" else (served, client)
                one.send("the last I say")
                one.finish_sending()
                self.assertEqual(other.rest(), b"the last I say")
                for n in range(3):
                    other.send("part %d " % n)
                    self.assertEqual(one.take(7), b"part %d " % n)
                other.send("end")
                other.finish_sending()
                self.assertEqual(one.rest(), b"end")
                entry = sluice.await_log(status=101)
                self.assertEqual(entry["tunnel"], first)

    def test_a_slow_reader_fills_no_memory_either_way(self):
        size = 48 << 20
        pattern = bytes(range(256)) * 256
        for slow in ("client", "upstream"):
            with self.subTest(slow=slow), Origin() as origin, Sluice.before(origin) as sluice:
                client, served = tunnel(sluice, origin)
                reader, writer = (client, served) if slow == "client" else (served, client)
                before = sluice.rss()
                sent = [0]

                def write():
                    writer.sock.settimeout(60)
                    while sent[0] < size:
                        writer.sock.sendall(pattern)
                        sent[0] += len(pattern)
                    writer.finish_sending()
                thread = threading.Thread(target=write, daemon=True)
                thread.start()
                last = [-1]

                def stands():
                    now, last[0] = last[0], sent[0]
                    return now == sent[0] > 0
                eventually(lambda: stands() or time.sleep(0.3))
                self.assertLess(sent[0], size)  # the kernel's buffers, and ours, are full
                if not SANITIZED:
                    self.assertLess(sluice.rss() - before, 4 << 20)
                reader.send("the other way is free")
                self.assertEqual(writer.take(21), b"the other way is free")
                got = 0
                while reader.fill(most=1 << 20):
                    at = got % len(pattern)
                    piece = bytes(reader.buffer)
                    reader.buffer.clear()
                    self.assertEqual(piece, (pattern * (len(piece) // len(pattern) + 2))[at:at + len(piece)])
                    got += len(piece)
                thread.join(20)
                self.assertEqual(got, size)

    def test_an_upgrade_that_is_refused_is_an_ordinary_answer(self):
        with Origin(lambda r: answer("no", status=403)) as origin, Sluice.before(origin) as sluice:
            client = sluice.client()
            for _ in range(2):
                client.send(opening("websocket"))
                response = client.response()
                self.assertEqual((response.status, response.body), (403, b"no"))
            self.assertEqual(origin.requests[1].get("sec-websocket-key"), "dGhlIHNhbXBsZSBub25jZQ==")
            self.assertEqual(client.get("/next").status, 403)
            self.assertEqual(origin.count, 1)
            self.assertEqual(sluice.metric("sluice_tunnels"), 0)

    def test_what_may_not_pass_does_not(self):
        with Origin(lambda r: answer("plain")) as origin, Sluice.before(origin) as sluice:
            for head in (opening("h2c", more="HTTP2-Settings: AAMAAABkAAQ\r\n"), opening("HTTP/2.0"), opening("TLS/1.0"),
                         opening("websocket").replace(KEY, ""), opening("websocket").replace("GET", "POST"),
                         opening("websocket").replace("HTTP/1.1", "HTTP/1.0"), opening("websocket, h2c", more=KEY)):
                with self.subTest(head=head), sluice.client() as client:
                    client.send(head)
                    self.assertEqual(client.response().status, 200)
                    self.assertIsNone(origin.requests[-1].get("upgrade"))
                    self.assertNotIn("upgrade", (origin.requests[-1].get("connection") or "").lower())

    def test_an_answer_that_nobody_asked_for(self):
        with Origin(lambda r: SWITCHED % "other") as origin, Sluice.before(origin) as sluice:
            for head in (opening("tcp"), "GET / HTTP/1.1\r\nHost: h\r\n\r\n"):
                with sluice.client() as client:
                    client.send(head)
                    self.assertEqual(client.response().status, 502)

    def test_a_request_with_a_body_upgrades_behind_it(self):
        with Origin() as origin, Sluice.before(origin) as sluice:
            client = sluice.client()
            client.send("POST /exec HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 4\r\n\r\nbody", "behind")
            served = origin.accept()
            self.assertEqual(served.request().body, b"body")
            served.send(SWITCHED % "tcp")
            self.assertEqual(served.take(6), b"behind")

    def test_a_side_that_is_lost_takes_the_other_with_it(self):
        with Origin() as origin, Sluice.before(origin) as sluice:
            client, served = tunnel(sluice, origin)
            client.reset()
            served.is_gone()
            self.assertEqual(sluice.await_log(status=101)["tunnel"], "client_reset")
            client, served = tunnel(sluice, origin, target="/second")
            served.reset()
            client.is_gone()
            self.assertEqual(sluice.await_log(target="/second")["tunnel"], "upstream_reset")
            sluice.await_metric("sluice_tunnels", 0)
            self.assertEqual(sluice.metric("sluice_dropped_total"), 0)

    def test_no_timeout_of_requests_ends_it(self):
        with Origin() as origin, Sluice.before(
                origin, listener="timeouts: { body: 100ms, send: 100ms, idle: 100ms }", route="timeouts: { request: 300ms }",
                upstream="timeouts: { first_byte: 100ms, between_bytes: 100ms }") as sluice:
            client, served = tunnel(sluice, origin)
            self.assertTrue(client.is_silent(0.8))
            client.send("a")
            self.assertEqual(served.take(1), b"a")


class Limits(Scenario):
    def test_no_more_than_the_route_allows(self):
        with Origin() as origin, Sluice.before(origin, route="tunnel: { connections: 1 }", top="workers: 2\n") as sluice:
            client, served = tunnel(sluice, origin)
            for _ in range(4):  # by whichever worker
                with sluice.client() as second:
                    second.send(opening(target="/second"))
                    self.assertEqual(second.response().status, 503)
            sluice.await_reason(503, target="/second", reason="tunnel_connections")
            self.assertGreaterEqual(sluice.metric("sluice_limit_hits_total", limit="tunnel.connections"), 4)
            code, out, err = sluice.cli("reload")
            self.assertEqual(code, 0, out + err)
            with sluice.client() as second:
                second.send(opening())
                self.assertEqual(second.response().status, 503)  # a reload forgets none
            client.close()
            served.close()
            sluice.await_metric("sluice_tunnels", 0)
            tunnel(sluice, origin)

    def test_silence_and_age(self):
        for limit, reason in (("idle: 300ms", "idle"), ("max_age: 300ms", "max_age")):
            with self.subTest(limit=limit), Origin() as origin, Sluice.before(origin, route="tunnel: { %s }" % limit) as sluice:
                watch = Stopwatch()
                client, served = tunnel(sluice, origin, "websocket")
                self.assertEqual(client.take(4), CLOSE_1001)
                self.assertWithin(watch.seconds, 0.25, 5)
                self.assertEqual(unmasked(served.take(8)), (0x88, b"\x03\xe9"))
                client.at_end()  # nobody answers: a second later
                served.at_end()
                client.close()
                entry = sluice.await_log(status=101)
                self.assertEqual((entry["tunnel"], entry.get("reason")), (reason, None))
                sluice.await_metric("sluice_tunnels_ended_total", 1, by=reason)


class Ending(Scenario):
    def test_a_drain_ends_two_hundred_websockets_one_by_one(self):
        budget = 3
        with EchoServer() as server, Sluice.before(
                server, top="workers: 2\ndrain: { min: 50ms, quiet: 50ms, max: 200ms, deadline: 12s, tunnels: %ds }\n" % budget) as sluice:
            clients = Clients(sluice.address, 200)
            self.assertEqual(sluice.metric("sluice_tunnels"), 200)
            sluice.signal(signal.SIGTERM)
            eventually(lambda: "drain: finishing" in sluice.stderr())
            began = time.monotonic()
            clients.join()
            self.assertEqual(sluice.wait(20), 0, sluice.stderr())
            self.assertEqual({code for code, _ in clients.ends}, {1012})
            eventually(lambda: len(server.ends) == 200)
            self.assertEqual({code for code, _ in server.ends}, {1012})
            moments = sorted(at - began for _, at in clients.ends)
            self.assertWithin(moments[0], -0.5, 0.8)
            self.assertWithin(moments[-1], budget - 0.8, budget + 2)
            parts = [sum(n <= m / budget * 5 < n + 1 for m in moments) for n in range(5)]
            self.assertGreater(min(parts), 15, parts)  # flat: 40 each
            self.assertIn("not served: none", sluice.stderr())
            self.assertEqual([e["tunnel"] for e in sluice.log()], ["drain"] * 200)

    def test_upgrades_are_refused_late(self):
        with Origin() as origin, Sluice.before(
                origin, top="drain: { min: 700ms, quiet: 50ms, max: 1s, deadline: 6s, tunnels: 1s }\n") as sluice:
            kept = sluice.client()
            kept.ask("/first")
            served = origin.accept()
            served.request()
            served.send(answer("x"))
            kept.response()
            sluice.signal(signal.SIGTERM)
            eventually(lambda: "drain: announcing" in sluice.stderr())
            client = sluice.client()
            client.send(opening("tcp", "/early"))
            served.head()
            served.send(SWITCHED % "tcp")
            self.assertEqual(client.response().status, 101)
            eventually(lambda: "drain: finishing" in sluice.stderr())
            kept.send(opening("tcp", "/late"))
            response = kept.response()
            self.assertEqual((response.status, response.get("connection")), (503, "close"))
            kept.close()
            client.at_end()  # no WebSocket: our FIN, at the end of the budget
            served.at_end()
            client.close()
            served.close()
            self.assertEqual(sluice.wait(), 0, sluice.stderr())
            self.assertEqual(sluice.log()[-1]["tunnel"], "drain")
            self.assertIn("not served: 1 (tunnel_drain 1)", sluice.stderr())

    def test_a_close_frame_never_stands_in_another_frame(self):
        with Origin() as origin, Sluice.before(origin, top=QUICK % "0") as sluice:
            client, served = tunnel(sluice, origin, "websocket")
            served.send(b"\x82\x05ab")
            client.send(b"\x82\x85mask12")
            self.assertEqual(client.take(4), b"\x82\x05ab")
            self.assertEqual(served.take(8), b"\x82\x85mask12")
            sluice.signal(signal.SIGTERM)
            eventually(lambda: "drain: finishing" in sluice.stderr())
            self.assertTrue(client.is_silent(0.1))
            served.send(b"cde\x82\x01z")
            client.send(b"345")
            self.assertEqual(client.take(7), b"cde" + CLOSE_1012)
            self.assertEqual(served.take(3), b"345")
            self.assertEqual(unmasked(served.take(8)), (0x88, b"\x03\xf4"))
            watch = Stopwatch()
            client.send(b"\x88\x82\0\0\0\0\x03\xf4")
            served.send(CLOSE_1012)
            client.at_end()
            served.at_end()
            self.assertLess(watch.seconds, 0.9)  # both have answered: nothing is waited for
            client.close()
            served.close()
            self.assertEqual(sluice.wait(), 0, sluice.stderr())

    def test_a_second_signal_waits_for_no_budget(self):
        with Origin() as origin, Sluice.before(
                origin, top="drain: { min: 50ms, quiet: 50ms, max: 200ms, deadline: 20s, tunnels: 15s }\n") as sluice:
            ends = [tunnel(sluice, origin) for _ in range(3)]
            sluice.signal(signal.SIGTERM)
            eventually(lambda: "drain: finishing" in sluice.stderr())
            watch = Stopwatch()
            sluice.signal(signal.SIGTERM)
            for client, served in ends:
                client.at_end()
                client.close()
                served.close()
            self.assertEqual(sluice.wait(), 0, sluice.stderr())
            self.assertLess(watch.seconds, 5)

    def test_a_reload_leaves_them(self):
        with Origin() as origin, Sluice.before(origin) as sluice:
            client, served = tunnel(sluice, origin, "websocket")
            for _ in range(5):
                code, out, err = sluice.cli("reload")
                self.assertEqual(code, 0, out + err)
            client.send(b"\x81\x81mask!")
            self.assertEqual(served.take(7), b"\x81\x81mask!")
            self.assertTrue(client.is_silent(0.2))

    def test_a_listener_that_is_dropped_ends_its_own(self):
        config = "drain: { min: 10ms, quiet: 10ms, max: 1s, deadline: 5s, tunnels: 300ms }\nlisteners:\n%s" + \
            "routes: [ { path: /, upstream: app } ]\nupstreams: { app: { endpoints: [ %s ] } }\n"
        with Origin() as origin, Sluice(config % ("  - { address: 127.0.0.1:0 }\n  - { address: 127.0.0.2:0 }\n", origin.endpoint)) as sluice:
            stays, stays_served = tunnel(sluice, origin, "websocket")
            goes, goes_served = tunnel(sluice, origin, "websocket", listener=1)
            sluice.write_config(config % ("  - { address: 127.0.0.1:0 }\n", origin.endpoint))
            code, out, err = sluice.cli("reload")
            self.assertEqual(code, 0, out + err)
            self.assertEqual(goes.take(4), CLOSE_1012)
            self.assertEqual(unmasked(goes_served.take(8)), (0x88, b"\x03\xf4"))
            goes.at_end()
            stays_served.send(b"\x81\x01!")
            self.assertEqual(stays.take(3), b"\x81\x01!")

    def test_an_upgrade_keeps_them(self):
        with EchoServer() as server, Sluice.before(server, top=QUICK % "500ms") as sluice:
            async def through(address):
                async with connect(address) as old:
                    await old.send("before")
                    assert await old.recv() == "before"
                    first = sluice.serving_pid()
                    code, out, err = await asyncio.get_running_loop().run_in_executor(None, sluice.cli, "upgrade")
                    assert code == 0, out + err + sluice.stderr()
                    await asyncio.get_running_loop().run_in_executor(None, eventually, lambda: sluice.serving_pid() != first)
                    await old.send("after")
                    assert await old.recv() == "after"
                    async with connect(address) as new:
                        await new.send("new")
                        assert await new.recv() == "new"
                    assert len(sluice.pids()) == 3, sluice.pids()
            asyncio.run(through(sluice.address))
            eventually(lambda: len(sluice.pids()) == 2, "the end of the old process", 20)
            sluice.await_metric("sluice_tunnels_ended_total", 2, by="client")
            self.assertEqual(sluice.metric("sluice_dropped_total"), 0)

    def test_a_stop_ends_those_of_an_old_process_too(self):
        with EchoServer() as server, Sluice.before(server, top=QUICK % "500ms") as sluice:
            old = Clients(sluice.address, 10)
            first = sluice.serving_pid()
            code, out, err = sluice.cli("upgrade")
            self.assertEqual(code, 0, out + err)
            eventually(lambda: sluice.serving_pid() != first)
            new = Clients(sluice.address, 10)
            sluice.signal(signal.SIGTERM)
            for clients in (old, new):
                clients.join()
                self.assertEqual([code for code, _ in clients.ends], [1012] * 10)
            self.assertEqual(sluice.wait(20), 0, sluice.stderr())


EVENTS = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(text):
    return "%x\r\n%s\r\n" % (len(text), text)


class Events(Scenario):
    def begin(self, sluice, origin, head=EVENTS):
        client = sluice.client()
        client.ask("/events")
        served = origin.accept()
        served.request()
        served.send(head)
        self.assertEqual(client.head().status, 200)
        return client, served

    def test_each_event_comes_at_once_as_long_as_they_come(self):
        with Origin() as origin, Sluice.before(origin, upstream="timeouts: { between_bytes: 600ms }") as sluice:
            client, served = self.begin(sluice, origin)
            for n in range(6):  # together longer than between_bytes
                event = "data: %d\n\n" % n
                served.send(chunk(event))
                client.take_until(event + "\r\n")
                self.assertTrue(client.is_silent(0.2))
            client.is_gone()  # then the application is silent for too long
            self.assertEqual(sluice.await_log(target="/events")["reason"], "between_bytes_timeout")

    def test_a_stream_of_events_ends_well_at_the_deadline(self):
        with Origin() as origin, Sluice.before(
                origin, top="drain: { min: 50ms, quiet: 50ms, max: 100ms, deadline: 1s }\n") as sluice:
            client, served = self.begin(sluice, origin)
            sluice.signal(signal.SIGTERM)
            eventually(lambda: "drain: finishing" in sluice.stderr())
            served.send(chunk("data: late\n\n"))
            client.take_until("data: late\n\n\r\n")
            served.send("20\r\ndata: half an ev")
            self.assertEqual(client.rest().decode().split("\r\n")[-3:], ["0", "", ""])
            client.close()
            self.assertEqual(sluice.wait(), 0, sluice.stderr())
            self.assertIn("not served: none", sluice.stderr())

    def test_any_other_answer_is_seen_to_be_cut(self):
        with Origin() as origin, Sluice.before(
                origin, top="drain: { min: 50ms, quiet: 50ms, max: 100ms, deadline: 1s }\n", expect_exit=1) as sluice:
            client, served = self.begin(sluice, origin, EVENTS.replace("text/event-stream", "application/json"))
            served.send(chunk("[1,"))
            client.take_until("[1,\r\n")
            sluice.signal(signal.SIGTERM)
            self.assertEqual(client.rest(), b"")  # between two chunks, without the last one
            client.close()
            self.assertEqual(sluice.wait(), 1)
            self.assertIn("not served: 1 (drain_deadline 1)", sluice.stderr())

    def test_a_long_poll_is_answered_while_the_process_drains(self):
        with Origin() as origin, Sluice.before(origin, top=QUICK % "1s") as sluice:
            client = sluice.client()
            client.ask("/poll")
            served = origin.accept()
            served.request()
            sluice.signal(signal.SIGTERM)
            eventually(lambda: "drain: finishing" in sluice.stderr())
            self.assertTrue(client.is_silent(1.2))  # the tunnels' budget is none of its business
            served.send(answer("news"))
            response = client.response()
            self.assertEqual((response.status, response.body, response.get("connection")), (200, b"news", "close"))
            client.close()
            self.assertEqual(sluice.wait(), 0, sluice.stderr())
