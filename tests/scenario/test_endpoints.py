"""Where endpoints come from: names that a DNS server answers, changed while requests run, and live orders."""
import json, threading

from dns import A, AAAA, NameServer
from harness import Scenario, Sluice
from wire import Client, Origin, answer, eventually


class Task(Origin):
    """An origin on any loopback address, at a port that others have on theirs; it says who it is."""

    def __init__(self, host="127.0.0.2", port=0):
        super().__init__(lambda _: answer(host), address=(host, port))


class Tasks:
    """Several, all at one port: 127.0.0.2, 127.0.0.3, ..."""

    def __init__(self, count):
        self.all = [Task("127.0.0.2")]
        self.port = self.all[0].port
        for i in range(1, count):
            self.all.append(Task("127.0.0.%d" % (2 + i), self.port))

    def __enter__(self):
        return self

    def __exit__(self, *more):
        for task in self.all:
            task.__exit__(*more)

    def __getitem__(self, i):
        return self.all[i]


class Strict:
    """Clients that ask without pause on connections they keep; whatever is no 200 is kept in .faults."""

    def __init__(self, sluice, count=4):
        self.sluice, self.faults, self.served, self.going = sluice, [], {}, True
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self._run, args=(i,), daemon=True) for i in range(count)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.going = False
        for thread in self.threads:
            thread.join(30)

    def _run(self, number):
        try:
            with Client(self.sluice.address) as client:
                while self.going:
                    post = number % 2 == 1
                    got = client.get("/", "POST", body="x" * 100) if post else client.get("/")
                    if got.status != 200:
                        self.faults.append(got.status)
                        return
                    with self.lock:
                        who = got.body.decode()
                        self.served[who] = self.served.get(who, 0) + 1
        except Exception as error:
            self.faults.append(error)

    def total(self):
        with self.lock:
            return sum(self.served.values())

    def more(self, count=50):
        """Awaits that many answers from now on; -> who gave them."""
        with self.lock:
            before = dict(self.served)
        goal = sum(before.values()) + count
        eventually(lambda: self.faults or self.total() >= goal, "answers")
        assert not self.faults, self.faults
        with self.lock:
            return {who: n - before.get(who, 0) for who, n in self.served.items() if n > before.get(who, 0)}


def named(dns, endpoints, longest="60s", upstream=""):
    return Sluice("""
resolver: { servers: ["%s"], timeout: 300ms, tries: 1, retry: 100ms, min_ttl: 100ms, max_ttl: %s }
routes: [ { path: /, upstream: app } ]
upstreams:
  app: { endpoints: [ %s ]%s }
""" % (dns.address, longest, ", ".join('"%s"' % e for e in endpoints), upstream))


def upstream_of(sluice, name="app"):
    code, out, err = sluice.cli("status", "--json")
    assert code == 0, err
    return next(u for u in json.loads(out)["upstreams"] if u["name"] == name)


def endpoints_of(sluice, name="app"):
    return {e["address"]: e for e in upstream_of(sluice, name)["endpoints"]}


def await_set(sluice, wanted, name="app"):
    eventually(lambda: set(endpoints_of(sluice, name)) == set(wanted), "endpoints %r" % (wanted,))


class Names(Scenario):
    def test_a_missing_name_is_no_reason_not_to_start(self):
        with NameServer() as dns, Task() as task:
            with named(dns, ["dns://app.test:%d" % task.port], upstream=", hold: { timeout: 9s }") as sluice:
                client = sluice.client()
                client.ask("/")
                eventually(lambda: len(dns.asked("app.test", A)) >= 3, "another question")
                self.assertEqual(upstream_of(sluice)["names"][0]["trouble"], "there is no such name")
                self.assertEqual(sluice.metric("sluice_endpoint_names_failing"), 1)
                dns.set_a("app.test", ["127.0.0.2"])
                got = client.response()
                self.assertEqual((got.status, got.body), (200, b"127.0.0.2"))
                eventually(lambda: "is answered again" in sluice.stderr(), "the line of the recovery")
                self.assertEqual(sluice.stderr().count("there is no such name"), 1)
                self.assertEqual(sluice.metric("sluice_endpoint_names_failing"), 0)

    def test_the_set_follows_the_name_and_no_request_notices(self):
        with NameServer() as dns, Tasks(4) as tasks:
            dns.set_a("app.test", ["127.0.0.2", "127.0.0.3"], ttl=0)
            with named(dns, ["dns://app.test:%d" % tasks.port]) as sluice, Strict(sluice) as strict:
                port = tasks.port
                self.assertEqual(set(strict.more()), {"127.0.0.2", "127.0.0.3"})
                for wanted in (["3", "4"], ["4", "5"], ["2"], ["2", "3", "4", "5"], ["5"]):
                    hosts = ["127.0.0." + w for w in wanted]
                    dns.set_a("app.test", hosts, ttl=0)
                    await_set(sluice, ["%s:%d" % (h, port) for h in hosts])
                    strict.more(8)  # whoever was on its way
                    self.assertEqual(set(strict.more(100)), set(hosts))
                # Who left is shown no longer.
                self.assertEqual(sluice.metric("sluice_upstream_endpoint_state", endpoint="127.0.0.2:%d" % port), 0)
                self.assertEqual(sluice.metric("sluice_upstream_endpoint_state", endpoint="127.0.0.5:%d" % port, state="ready"), 1)
            self.assertEqual(strict.faults, [])

    def test_what_was_known_is_kept_on_every_failure(self):
        with NameServer() as dns, Task() as task:
            dns.set_a("app.test", ["127.0.0.2"], ttl=0)
            with named(dns, ["dns://app.test:%d" % task.port]) as sluice:
                eventually(lambda: endpoints_of(sluice), "the first answer")
                for mood, says in (("servfail", "SERVFAIL"), ("nxdomain", "no such name"), ("empty", "no address"),
                                   ("refused", "REFUSED"), ("silent", "no name server answers")):
                    dns.set_mood("app.test", mood)
                    eventually(lambda: says in upstream_of(sluice)["names"][0].get("trouble", ""), mood)
                    self.assertEqual(sluice.get().body, b"127.0.0.2")
                dns.clear_mood("app.test")
                eventually(lambda: "trouble" not in upstream_of(sluice)["names"][0], "the recovery")

    def test_a_family_that_fails_does_not_take_the_other_away(self):
        with NameServer() as dns, Task() as task:
            dns.set_a("app.test", ["127.0.0.2"], ttl=0)
            dns.set_mood("app.test", "servfail", AAAA)
            with named(dns, ["dns://app.test:%d" % task.port]) as sluice:
                self.assertEqual(sluice.get().body, b"127.0.0.2")
                self.assertNotIn("trouble", upstream_of(sluice)["names"][0])

    def test_ipv6(self):
        with NameServer() as dns, Task("::1") as task:
            dns.set_aaaa("app.test", ["::1"])
            with named(dns, ["dns://app.test:%d" % task.port]) as sluice:
                self.assertEqual(sluice.get().body, b"::1")

    def test_a_cut_answer_is_asked_for_over_tcp(self):
        with NameServer() as dns, Task() as task:
            dns.set_a("app.test", ["127.0.0.2"])
            dns.truncate("app.test")
            with named(dns, ["dns://app.test:%d" % task.port]) as sluice:
                self.assertEqual(sluice.get().body, b"127.0.0.2")
                self.assertTrue(dns.asked("app.test", A, "tcp"))

    def test_asked_again_when_the_time_to_live_is_over(self):
        with NameServer() as dns, Task() as task:
            dns.set_a("app.test", ["127.0.0.2"], ttl=1)
            with named(dns, ["dns://app.test:%d" % task.port]) as sluice:
                eventually(lambda: len(dns.asked("app.test", A)) >= 3, "three questions")
                times = dns.asked("app.test", A)
                self.assertWithin(times[1] - times[0], 0.95, 5)
                self.assertWithin(times[2] - times[1], 0.95, 5)
                self.assertEqual(sluice.get().status, 200)

    def test_the_time_to_live_has_bounds(self):
        with NameServer() as dns, Task() as task:
            dns.set_a("app.test", ["127.0.0.2"], ttl=3600)
            with named(dns, ["dns://app.test:%d" % task.port], longest="300ms"):
                eventually(lambda: len(dns.asked("app.test", A)) >= 3, "three questions")
                times = dns.asked("app.test", A)
                self.assertWithin(times[2] - times[0], 0.55, 5)

    def test_srv_brings_ports_weights_and_groups(self):
        with NameServer() as dns, Task("127.0.0.2") as one, Task("127.0.0.3") as two, Task("127.0.0.4") as spare:
            dns.set_a("one.test", ["127.0.0.2"])
            dns.set_a("two.test", ["127.0.0.3"])
            dns.set_a("spare.test", ["127.0.0.4"])
            dns.set_srv("_http._tcp.app.test", [(10, 30, one.port, "one.test"), (10, 10, two.port, "two.test"),
                                                (20, 5, spare.port, "spare.test")], ttl=0)
            with named(dns, ["srv://_http._tcp.app.test"]) as sluice:
                await_set(sluice, [one.endpoint, two.endpoint, spare.endpoint])
                known = endpoints_of(sluice)
                self.assertEqual([(known[t.endpoint]["weight"], known[t.endpoint]["priority"]) for t in (one, two, spare)],
                                 [(30, 0), (10, 0), (5, 1)])
                served = [sluice.get().body.decode() for _ in range(40)]
                self.assertNotIn("127.0.0.4", served)
                self.assertEqual(served.count("127.0.0.2"), 30)
                one.stop()
                two.stop()
                eventually(lambda: sluice.get().body == b"127.0.0.4", "the second group")
                # Another weight is another answer: the set follows.
                dns.set_srv("_http._tcp.app.test", [(7, 9, spare.port, "spare.test")], ttl=0)
                await_set(sluice, [spare.endpoint])
                self.assertEqual((endpoints_of(sluice)[spare.endpoint]["weight"], endpoints_of(sluice)[spare.endpoint]["priority"]), (9, 0))
                self.assertEqual(sluice.get().body, b"127.0.0.4")

    def test_one_target_of_a_service_that_fails_keeps_its_addresses(self):
        with NameServer() as dns, Task("127.0.0.2") as one, Task("127.0.0.3") as two:
            dns.set_a("one.test", ["127.0.0.2"], ttl=0)
            dns.set_a("two.test", ["127.0.0.3"], ttl=0)
            dns.set_srv("_http._tcp.app.test", [(0, 1, one.port, "one.test"), (0, 1, two.port, "two.test")], ttl=0)
            with named(dns, ["srv://_http._tcp.app.test"]) as sluice:
                await_set(sluice, [one.endpoint, two.endpoint])
                dns.set_mood("two.test", "servfail")
                eventually(lambda: "two.test" in upstream_of(sluice)["names"][0].get("trouble", ""), "the trouble")
                self.assertEqual(set(endpoints_of(sluice)), {one.endpoint, two.endpoint})
                dns.set_mood("_http._tcp.app.test", "nxdomain")
                eventually(lambda: "no such name" in upstream_of(sluice)["names"][0].get("trouble", ""), "the other trouble")
                self.assertEqual(set(endpoints_of(sluice)), {one.endpoint, two.endpoint})

    def test_a_reload_keeps_what_names_stood_for(self):
        with NameServer() as dns, NameServer() as other, Task() as task:
            dns.set_a("app.test", ["127.0.0.2"], ttl=1)
            with named(dns, ["dns://app.test:%d" % task.port]) as sluice:
                self.assertEqual(sluice.get().body, b"127.0.0.2")
                before = endpoints_of(sluice)[task.endpoint]
                dns.set_mood("app.test", "silent")
                with open(sluice.config_file) as f:
                    text = f.read()
                with open(sluice.config_file, "w") as f:
                    f.write(text.replace('servers: ["%s"]' % dns.address, 'servers: ["%s"]' % other.address))
                code, _, err = sluice.cli("reload")
                self.assertEqual(code, 0, err)
                self.assertEqual(sluice.get().body, b"127.0.0.2")
                after = endpoints_of(sluice)[task.endpoint]
                self.assertEqual(after["state"], "ready")
                self.assertGreaterEqual(after["since_seconds"], before["since_seconds"])
                # The other servers are asked from now on.
                eventually(lambda: other.asked("app.test", A), "a question to the new server")
                other.set_a("app.test", ["127.0.0.2"])
                eventually(lambda: "trouble" not in upstream_of(sluice)["names"][0], "its answer")

    def test_the_hosts_file_is_honoured(self):
        with open("/etc/hosts") as f:
            if not any(line.split()[:1] == ["::1"] and "ip6-localhost" in line.split() for line in f):
                self.skipTest("/etc/hosts has no ip6-localhost")
        with NameServer() as dns, Task("::1") as task:
            with named(dns, ["dns://ip6-localhost:%d" % task.port]) as sluice:
                self.assertEqual(sluice.get().body, b"::1")
                self.assertEqual(dns.asked("ip6-localhost", AAAA), [])


class Orders(Scenario):
    def order(self, sluice, *words):
        code, out, err = sluice.cli("endpoint", *map(str, words))
        self.assertEqual((code, err), (0, ""), words)
        return out

    def refused(self, sluice, *words):
        code, out, err = sluice.cli("endpoint", *map(str, words))
        self.assertEqual((code, out), (1, ""), words)
        return err

    def test_endpoints_come_and_go_by_order_and_no_request_notices(self):
        with Tasks(3) as tasks, Sluice.before(tasks[0]) as sluice, Strict(sluice) as strict:
            one, two, three = (t.endpoint for t in tasks.all)
            strict.more()
            self.assertIn("added, weight 1; 2 in use", self.order(sluice, "add", "app", two))
            self.assertEqual(set(strict.more(100)), {"127.0.0.2", "127.0.0.3"})
            self.order(sluice, "drain", "app", one)
            strict.more(8)
            self.assertEqual(set(strict.more(100)), {"127.0.0.3"})
            self.assertEqual(endpoints_of(sluice)[one]["state"], "draining")
            self.order(sluice, "undrain", "app", one)
            eventually(lambda: "127.0.0.2" in strict.more(20), "the endpoint that is back")
            self.order(sluice, "add", "app", three)
            self.order(sluice, "remove", "app", one)
            strict.more(8)
            self.assertEqual(set(strict.more(100)), {"127.0.0.3", "127.0.0.4"})
            await_set(sluice, [two, three])
            self.assertEqual(endpoints_of(sluice)[three]["source"], "live")
            for _ in range(20):
                self.order(sluice, "add", "app", one)
                strict.more(10)
                self.order(sluice, "remove", "app", one)
                strict.more(10)
        self.assertEqual(strict.faults, [])

    def test_weights(self):
        with Tasks(2) as tasks, Sluice.before(*tasks.all) as sluice:
            self.assertIn("has weight 4", self.order(sluice, "weight", "app", tasks[0].endpoint, 4))
            eventually(lambda: endpoints_of(sluice)[tasks[0].endpoint]["weight"] == 4, "the weight")
            served = [sluice.get().body.decode() for _ in range(50)]
            self.assertEqual(served.count("127.0.0.2"), 40)

    def test_a_backup_is_used_when_the_first_group_is_away(self):
        with Tasks(2) as tasks, Sluice.before(tasks[0]) as sluice:
            self.order(sluice, "add", "app", tasks[1].endpoint, "--backup")
            self.assertEqual({sluice.get().body for _ in range(10)}, {b"127.0.0.2"})
            self.order(sluice, "drain", "app", tasks[0].endpoint)
            self.assertEqual({sluice.get().body for _ in range(10)}, {b"127.0.0.3"})

    def test_the_last_one_may_go_and_requests_wait_for_another(self):
        with Tasks(2) as tasks, Sluice.before(tasks[0], upstream="hold: { timeout: 9s }") as sluice:
            self.assertEqual(sluice.get().status, 200)
            self.assertIn("requests are held for up to 9s", self.order(sluice, "remove", "app", tasks[0].endpoint))
            await_set(sluice, [])
            client = sluice.client()
            client.ask("/", "POST", body="x" * 1000)
            eventually(lambda: sluice.metric("sluice_upstream_held_requests", upstream="app") == 1, "the held request")
            self.order(sluice, "add", "app", tasks[1].endpoint)
            self.assertEqual(client.response("POST").body, b"127.0.0.3")

    def test_errors_teach(self):
        with Tasks(2) as tasks, Sluice.before(tasks[0]) as sluice:
            self.assertIn('there is no upstream "djago"; there is: app', self.refused(sluice, "drain", "djago", "127.0.0.1:1"))
            self.assertIn("it has: " + tasks[0].endpoint, self.refused(sluice, "drain", "app", "127.0.0.1:1"))
            self.assertIn("has %s already" % tasks[0].endpoint, self.refused(sluice, "add", "app", tasks[0].endpoint))
            self.assertIn("does not drain by order", self.refused(sluice, "undrain", "app", tasks[0].endpoint))
            self.assertIn("1 to 65535", self.refused(sluice, "weight", "app", tasks[0].endpoint, 99999))
            self.assertIn("nonsense", self.refused(sluice, "add", "app", "nonsense"))
            with Client(sluice.admin) as admin:
                got = admin.get("/upstreams/app/endpoints/explode?address=127.0.0.1%3A1", "POST")
                self.assertEqual(got.status, 404)
                self.assertIn(b'no order "explode"', got.body)
                self.assertEqual(admin.get("/upstreams/app/endpoints/add?addres=1", "POST").status, 422)
                self.assertEqual(admin.get("/upstreams/app/endpoints/add?address=%zz", "POST").status, 422)
                self.assertEqual(admin.get("/upstreams/app", "POST").status, 404)
            self.assertEqual(set(endpoints_of(sluice)), {tasks[0].endpoint})

    def test_orders_last_until_the_file_lists_other_endpoints(self):
        with Tasks(3) as tasks, Sluice.before(tasks[0]) as sluice:
            one, two, three = (t.endpoint for t in tasks.all)
            self.order(sluice, "add", "app", two, 5)
            self.order(sluice, "drain", "app", one)
            with open(sluice.config_file) as f:
                text = f.read()

            def reload(changed):
                with open(sluice.config_file, "w") as f:
                    f.write(changed)
                code, _, err = sluice.cli("reload")
                self.assertEqual(code, 0, err)
            reload(text + "log: { level: debug }\n")
            known = endpoints_of(sluice)
            self.assertEqual((known[one]["state"], known[two]["weight"]), ("draining", 5))
            self.assertEqual(sluice.get().body, b"127.0.0.3")
            with open(sluice.config_file, "w") as f:
                f.write(text.replace(one, "not-an-address"))
            code, _, err = sluice.cli("reload")
            self.assertEqual(code, 1, err)
            self.assertEqual(set(endpoints_of(sluice)), {one, two})
            reload(text.replace('"%s"' % one, '"%s", "%s"' % (one, three)))
            await_set(sluice, [one, three])
            eventually(lambda: endpoints_of(sluice)[one]["state"] != "draining", "the end of the drain")
            self.assertEqual({sluice.get().body for _ in range(10)}, {b"127.0.0.2", b"127.0.0.4"})

    def test_the_list_is_for_people_and_programs(self):
        with Tasks(2) as tasks, Sluice.before(*tasks.all) as sluice:
            sluice.get()
            code, out, _ = sluice.cli("endpoints", "app")
            self.assertEqual(code, 0)
            lines = out.splitlines()
            self.assertEqual(lines[0].split()[:3], ["UPSTREAM", "ENDPOINT", "STATE"])
            self.assertEqual(len(lines), 3)
            self.assertIn(tasks[0].endpoint, lines[1])
            self.assertIn("file", lines[1])
            code, out, _ = sluice.cli("endpoints", "--json")
            self.assertEqual([e["source"] for e in json.loads(out)[0]["endpoints"]], ["file", "file"])
            code, _, err = sluice.cli("endpoints", "nobody")
            self.assertEqual(code, 1)
            self.assertIn("nobody", err)
