"""Which of several endpoints is asked: shares, keys, cookies, groups, and who is put out."""
import collections, threading, unittest

from harness import Sluice
from wire import Origin, eventually


def named(name, status=200):
    body = name.encode()
    return lambda _: b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)


class Group:
    """Origins that answer with their letter; those in .failing with 503."""

    def __init__(self, letters):
        self.failing = set()
        self.origins = {letter: Origin(lambda _, l=letter: named(l, 503 if l in self.failing else 200)(_))
                        for letter in letters}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for origin in self.origins.values():
            origin.__exit__(None)

    def endpoints(self, **more):
        return ", ".join("{ address: %s%s }" % (o.endpoint, ", " + more[l] if l in more else "")
                         for l, o in self.origins.items())

    def sluice(self, upstream, **more):
        return Sluice("""
routes: [ { path: /, upstream: app } ]
upstreams:
  app:
    endpoints: [ %s ]
    %s
""" % (self.endpoints(**more), upstream.replace("\n", "\n    ")))


def ask(sluice, times, headers=()):
    with sluice.client() as client:
        return "".join(client.get("/", headers=list(headers)).body.decode() for _ in range(times))


class Balance(unittest.TestCase):
    def test_round_robin_by_weight(self):
        with Group("ab") as group, group.sluice("balance: round_robin", a="weight: 3") as sluice:
            self.assertEqual(collections.Counter(ask(sluice, 40)), {"a": 30, "b": 10})

    def test_least_request_leaves_the_slow_one_alone(self):
        gate = threading.Event()

        def slow(request):
            gate.wait(10)
            return named("s")(request)

        with Origin(slow) as s, Origin(named("f")) as f:
            with Sluice.before(s, f, upstream="balance: least_request") as sluice:
                waiting = [sluice.client() for _ in range(2)]
                for client in waiting:
                    client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                eventually(lambda: len(s.requests) == 1, "one at the slow one")
                self.assertEqual(ask(sluice, 10), "f" * 10)
                gate.set()

    def test_random_and_peak_ewma_use_all_of_them(self):
        for balance in ("random", "peak_ewma"):
            with self.subTest(balance), Group("abc") as group, group.sluice("balance: " + balance) as sluice:
                self.assertEqual(set(ask(sluice, 60)), set("abc"))

    def test_ring_hash_by_header_stays_and_moves_only_what_it_must(self):
        with Group("abc") as group, group.sluice("balance: ring_hash\nhash: { header: X-User }") as sluice:
            homes = {}
            for user in range(30):
                got = ask(sluice, 3, [("X-User", "user-%d" % user)])
                self.assertEqual(len(set(got)), 1, got)
                homes[user] = got[0]
            self.assertEqual(set(homes.values()), set("abc"))
            group.origins["b"].stop()
            for connection in group.origins["b"].connections:
                connection.close()
            for user, home in homes.items():
                now = ask(sluice, 1, [("X-User", "user-%d" % user)])
                self.assertTrue(now == home if home != "b" else now in "ac", (user, home, now))

    def test_a_sticky_cookie_stays_until_its_endpoint_goes(self):
        with Group("abc") as group, group.sluice("sticky: { cookie: route, age: 1h }") as sluice:
            first = sluice.get("/")
            cookie = first.get("set-cookie")
            self.assertRegex(cookie, r"^route=[0-9a-f]{16}; Path=/; HttpOnly; SameSite=Lax; Max-Age=3600$")
            home, value = first.body.decode(), cookie.split(";")[0]
            self.assertEqual(ask(sluice, 9, [("Cookie", "x=1; " + value)]), home * 9)
            again = sluice.get("/", headers=[("Cookie", value)])
            self.assertIsNone(again.get("set-cookie"))
            group.origins[home].stop()
            for connection in group.origins[home].connections:
                connection.close()
            moved = sluice.get("/", headers=[("Cookie", value)])
            self.assertNotEqual(moved.body.decode(), home)
            self.assertNotIn(value, moved.get("set-cookie"))

    def test_a_backup_is_asked_only_when_the_others_are_away(self):
        with Group("ab") as group, group.sluice("pool: { idle: 0s }", b="backup: true") as sluice:
            self.assertEqual(ask(sluice, 10), "a" * 10)
            group.origins["a"].stop()
            self.assertEqual(ask(sluice, 5), "b" * 5)


class Ejection(unittest.TestCase):
    def test_errors_in_a_row_put_one_out_and_time_lets_it_in(self):
        config = "ejection: { errors: 3, time: 1s }\nretry: { attempts: 1 }"
        with Group("ab") as group, group.sluice(config) as sluice:
            group.failing.add("b")
            ask(sluice, 8)
            self.assertEqual(ask(sluice, 6), "a" * 6)
            endpoint = group.origins["b"].endpoint
            eventually(lambda: sluice.metric("sluice_upstream_ejections_total", upstream="app", endpoint=endpoint) == 1,
                       "the metric")
            group.failing.clear()
            eventually(lambda: "b" in ask(sluice, 4), "b is asked again")

    def test_never_the_last(self):
        with Group("ab") as group, group.sluice("ejection: { errors: 2 }\nretry: { attempts: 1 }") as sluice:
            group.failing.update("ab")
            got = ask(sluice, 30)
            self.assertEqual(len(got), 30)
            out = sum(sluice.metric("sluice_upstream_ejections_total", upstream="app", endpoint=o.endpoint) or 0
                      for o in group.origins.values())
            self.assertLessEqual(out, 1)
