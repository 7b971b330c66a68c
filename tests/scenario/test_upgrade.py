"""A new binary takes over: nobody loses a request, nobody has to connect again, no counter falls."""
import json
import os
import signal
import tempfile
import threading
import time

from harness import BINARY, Scenario, Sluice, Stopwatch
from wire import Client, Origin, answer, eventually

FIXED = 'routes: [ { path: /, respond: { body: %s } } ]\n'


def fine(request):
    return answer("fine")


class Strict(threading.Thread):
    """One connection that asks and asks; anything but 200 on the same connection is a fault."""

    def __init__(self, sluice, pause=0.0, listener=0):
        super().__init__(daemon=True)
        self.client, self.pause, self.done, self.fault, self.over = Client(sluice.listeners[listener]), pause, 0, None, False
        self.start()

    def run(self):
        try:
            while not self.over:
                response = self.client.get("/")
                assert response.status == 200, response.status
                assert (response.get("connection") or "") != "close", "told to leave"
                self.done += 1
                if self.pause:
                    time.sleep(self.pause)
        except BaseException as fault:
            self.fault = fault

    def end(self):
        self.over = True
        self.join(20)
        self.client.close()
        if self.fault:
            raise self.fault


class Falling(threading.Thread):
    """Scrapes all the time; a counter that falls is a fault."""

    def __init__(self, sluice):
        super().__init__(daemon=True)
        self.sluice, self.seen, self.fault, self.over, self.scrapes = sluice, {}, None, False, 0
        self.start()

    def run(self):
        try:
            while not self.over:
                now = {(n, tuple(sorted(l.items()))): v for n, l, v in self.sluice.samples()
                       if n.endswith(("_total", "_count", "_sum", "_bucket"))}
                for series, value in self.seen.items():
                    assert now.get(series, 0) >= value - 1e-9, "%r fell from %r to %r" % (series, value, now.get(series))
                self.seen = now
                self.scrapes += 1
        except BaseException as fault:
            self.fault = fault

    def end(self):
        self.over = True
        self.join(20)
        if self.fault:
            raise self.fault


def upgrade(test, sluice):
    before = sluice.serving_pid()
    code, out, err = sluice.cli("upgrade")
    test.assertEqual(code, 0, out + err + sluice.stderr())
    eventually(lambda: sluice.serving_pid() != before)
    return out


def await_two(sluice):
    """The supervisor and one serving process are left."""
    eventually(lambda: len(sluice.pids()) == 2, "the end of the old process", 20)


class Upgrade(Scenario):
    def test_clients_notice_nothing(self):
        with Origin(fine) as origin, Sluice.before(origin, top="workers: 2\n", upstream="pool: { idle: 20s }") as sluice:
            clients = [Strict(sluice) for _ in range(6)] + [Strict(sluice, pause=0.05) for _ in range(6)]
            falling = Falling(sluice)
            for n in range(5):
                self.assertIn("serves now", upgrade(self, sluice))
                reached = [c.done + 3 for c in clients]
                eventually(lambda: all(c.done >= r or c.fault for c, r in zip(clients, reached)), "more answers", 30)
            for client in clients:
                client.end()
            falling.end()
            await_two(sluice)
            done = sum(c.done for c in clients)
            eventually(lambda: sluice.metric("sluice_http_requests_total", code="200") == done)
            self.assertEqual(sluice.metric("sluice_upgrades_total", result="success"), 5)
            given = sluice.metric("sluice_connections_ended_total", by="handed_over")
            self.assertEqual(sluice.metric("sluice_accepts_total") - given, 12)
            self.assertEqual(sluice.metric("sluice_http_request_duration_seconds_count"), done)
            self.assertGreater(falling.scrapes, 5)

    def test_a_new_connection_per_request(self):
        with Sluice(FIXED % "x" + "workers: 2\n") as sluice:
            over, faults, count = threading.Event(), [], [0]

            def ask():
                while not over.is_set():
                    try:
                        with Client(sluice.address) as client:
                            assert client.get("/").body == b"x"
                        count[0] += 1
                    except BaseException as fault:
                        faults.append(fault)
            threads = [threading.Thread(target=ask) for _ in range(4)]
            for thread in threads:
                thread.start()
            for _ in range(5):
                upgrade(self, sluice)
            over.set()
            for thread in threads:
                thread.join()
            self.assertEqual(faults, [])
            self.assertGreater(count[0], 20)

    def test_a_running_request_ends_in_the_old_process_and_its_client_stays(self):
        with Origin() as origin, Sluice.before(origin) as sluice:
            client, idle = sluice.client(), sluice.client()
            client.ask("/slow")
            served = origin.accept()
            served.request()
            old = sluice.serving_pid()
            upgrade(self, sluice)
            self.assertIn(old, sluice.pids())
            idle.ask("/quick")
            quick = origin.accept()
            quick.request()
            quick.send(answer("quick"))
            self.assertEqual(idle.response().body, b"quick")
            served.send(answer("slow"))
            response = client.response()
            self.assertEqual((response.body, response.get("connection")), (b"slow", None))
            await_two(sluice)  # its connection was given on
            client.ask("/again")
            again = quick
            self.assertEqual(again.request().target, "/again")
            again.send(answer("again"))
            self.assertEqual(client.response().body, b"again")
            sluice.await_metric("sluice_http_requests_total", 3, code="200")

    def test_bytes_sent_while_a_connection_travels_are_kept(self):
        with Sluice(FIXED % "x", env={"SLUICE_UPGRADE_TIMEOUT": "20s"}) as sluice:
            clients = [sluice.client() for _ in range(30)]
            for client in clients:
                client.get("/")
            old = sluice.serving_pid()
            os.kill(old, signal.SIGSTOP)
            sluice.signal(signal.SIGUSR2)
            eventually(lambda: sluice.serving_pid() != old)
            for client in clients:
                client.ask("/")  # the old one's sockets hold it
            os.kill(old, signal.SIGCONT)
            for client in clients:
                self.assertEqual(client.response().body, b"x")
                self.assertEqual(client.get("/").body, b"x")
            await_two(sluice)

    def test_the_limit_of_requests_a_connection_is_carried_over(self):
        with Sluice(FIXED % "x" + "listeners: [ { address: 127.0.0.1:0, limits: { requests: 3 } } ]\n") as sluice:
            client = sluice.client()
            self.assertIsNone(client.get("/").get("connection"))
            upgrade(self, sluice)
            self.assertIsNone(client.get("/").get("connection"))
            self.assertEqual(client.get("/").get("connection"), "close")

    def test_twenty_in_a_row_leave_nothing_behind(self):
        with Sluice(FIXED % "x" + "workers: 2\n") as sluice:
            client = sluice.client()
            client.get("/")
            upgrade(self, sluice)
            await_two(sluice)
            files = sluice.open_files()
            for _ in range(20):
                upgrade(self, sluice)
                self.assertEqual(client.get("/").body, b"x")
            await_two(sluice)
            eventually(lambda: sluice.open_files() <= files, "the same descriptors as before")
            with open("/proc/net/tcp") as f:
                port = ":%04X" % sluice.address[1]
                listening = [l for l in f if l.split()[1].endswith(port) and l.split()[3] == "0A"]
            self.assertEqual(len(listening), 1)
            sluice.await_metric("sluice_http_requests_total", 21, code="200")
            sluice.await_metric("sluice_upgrades_total", 21, result="success")

    def test_many_at_once_are_refused_but_one(self):
        hang = self.script("exec sleep 30")
        with Sluice(FIXED % "x", env={"SLUICE_UPGRADE_BINARY": hang, "SLUICE_UPGRADE_TIMEOUT": "1s"}) as sluice:
            sluice.signal(signal.SIGUSR2)
            eventually(lambda: len(sluice.pids()) == 3)
            code, out, err = sluice.cli("upgrade")
            self.assertEqual(code, 1)
            self.assertIn("under way", err)
            await_two(sluice)

    # -- what cannot take over --

    def script(self, text):
        folder = tempfile.TemporaryDirectory(prefix="sl.")
        self.addCleanup(folder.cleanup)
        with open(folder.name + "/next", "w") as f:
            f.write("#!/bin/sh\n" + text + "\n")
        os.chmod(folder.name + "/next", 0o755)
        return folder.name + "/next"

    def refused(self, sluice, word):
        client = Strict(sluice)
        code, out, err = sluice.cli("upgrade")
        self.assertEqual(code, 1, out)
        self.assertIn(word, err)
        await_two(sluice)
        client.end()
        self.assertGreater(sluice.metric("sluice_upgrades_total", result="failure"), 0)

    def test_a_binary_that_fails_changes_nothing(self):
        for text, word in (("exit 1", "exit code 1"), ("kill -SEGV $$", "SIGSEGV"), ("exec 0<&-; exec >/dev/null; exit 0", "exit code 0")):
            with Sluice(FIXED % "x", env={"SLUICE_UPGRADE_BINARY": self.script(text)}) as sluice:
                before = sluice.serving_pid()
                self.refused(sluice, word)
                self.assertEqual(sluice.serving_pid(), before)

    def test_a_binary_that_is_not_there(self):
        with Sluice(FIXED % "x", env={"SLUICE_UPGRADE_BINARY": "/nowhere/sluice"}) as sluice:
            self.refused(sluice, "No such file")

    def test_a_binary_that_hangs_is_killed_in_time(self):
        with Sluice(FIXED % "x", env={"SLUICE_UPGRADE_BINARY": self.script("exec sleep 60"), "SLUICE_UPGRADE_TIMEOUT": "300ms"}) as sluice:
            watch = Stopwatch()
            self.refused(sluice, "300 ms")
            self.assertLess(watch.seconds, 8)

    def test_a_configuration_that_is_wrong(self):
        with Sluice(FIXED % "x") as sluice:
            sluice.write_config("routes: [ { path: /, respnd: {} } ]")
            self.refused(sluice, "respnd")

    def test_a_repaired_binary_takes_over(self):
        path = self.script("exit 7")
        with Sluice(FIXED % "x", env={"SLUICE_UPGRADE_BINARY": path}) as sluice:
            self.refused(sluice, "exit code 7")
            os.remove(path)
            os.symlink(BINARY, path)
            upgrade(self, sluice)
            os.remove(path)  # a crash now starts what served, though its path is gone
            before = sluice.serving_pid()
            os.kill(before, signal.SIGKILL)
            eventually(lambda: not os.path.exists("/proc/%d" % before))  # what it has in hand until then is lost with it
            self.assertEqual(sluice.get("/").body, b"x")
            eventually(lambda: sluice.serving_pid() != before)
            self.assertEqual(sluice.metric("sluice_restarts_total", reason="SIGKILL"), 1)

    # -- together with other things --

    def test_listeners_come_and_go_with_it(self):
        two = 'listeners: [ { address: 127.0.0.1:0 }, { address: "unix:$dir/a.sock" } ]\n'
        with Sluice(FIXED % "x" + two) as sluice:
            gone = Client(sluice.dir + "/a.sock")
            self.assertEqual(gone.get("/").body, b"x")
            sluice.write_config(FIXED % "y" + 'listeners: [ { address: 127.0.0.1:0 }, { address: "unix:$dir/b.sock" } ]\n')
            client = sluice.client()
            upgrade(self, sluice)
            eventually(lambda: client.get("/").body == b"y")  # what comes before it travelled, the old one answers
            with Client(sluice.dir + "/b.sock") as new:
                self.assertEqual(new.get("/").body, b"y")
            last = gone.get("/")  # its listener is dropped as by a reload
            self.assertEqual((last.body, last.get("connection")), (b"x", "close"))
            gone.close()
            await_two(sluice)
            with self.assertRaises(ConnectionRefusedError):
                Client(sluice.dir + "/a.sock")

    def test_a_stop_during_an_upgrade(self):
        with Sluice(FIXED % "x", env={"SLUICE_UPGRADE_BINARY": self.script("exec sleep 60")}) as sluice:
            sluice.signal(signal.SIGUSR2)
            eventually(lambda: len(sluice.pids()) == 3)
            watch, pids = Stopwatch(), sluice.pids()
            self.assertEqual(sluice.get("/").body, b"x")
            sluice.signal(signal.SIGTERM)
            self.assertEqual(sluice.wait(), 0)
            self.assertLess(watch.seconds, 8)
            for pid in pids:
                self.assertFalse(os.path.exists("/proc/%d" % pid))

    def test_a_stop_while_the_old_process_retires(self):
        with Origin() as origin, Sluice.before(origin) as sluice:
            client = sluice.client()
            client.ask("/slow")
            served = origin.accept()
            served.request()
            upgrade(self, sluice)
            sluice.signal(signal.SIGTERM)
            eventually(lambda: sluice.stderr().count("told to end") or "drain: finishing" in sluice.stderr())
            served.send(answer("slow"))
            response = client.response()
            self.assertEqual((response.body, response.get("connection")), (b"slow", "close"))
            self.assertEqual(sluice.wait(), 0)

    def test_what_a_retiring_process_cuts_is_counted(self):
        top = "drain: { min: 10ms, quiet: 10ms, max: 100ms, deadline: 700ms }\n"
        with Origin() as origin, Sluice.before(origin, top=top, expect_exit=1) as sluice:
            client = sluice.client()
            client.ask("/slow")
            origin.accept().request()
            old = sluice.serving_pid()
            upgrade(self, sluice)
            sluice.signal(signal.SIGTERM)
            self.assertTrue(client.is_gone())
            self.assertEqual(sluice.wait(), 1)
            self.assertEqual(sluice.await_log(target="/slow")["reason"], "drain_deadline")
            self.assertIn("retiring process %d: exit code 1" % old, sluice.stderr())

    def test_a_crash_of_the_successor_while_the_old_process_retires(self):
        with Origin() as origin, Sluice.before(origin) as sluice:
            client = sluice.client()
            client.ask("/slow")
            served = origin.accept()
            served.request()
            upgrade(self, sluice)
            before = sluice.serving_pid()
            os.kill(before, signal.SIGKILL)
            eventually(lambda: sluice.serving_pid() != before)
            served.send(answer("slow"))
            self.assertEqual(client.response().body, b"slow")  # it had nothing to do with it
            client.close()
            await_two(sluice)
            late = sluice.client()
            late.ask("/late")
            served = origin.accept()
            served.request()
            served.send(answer("late"))
            self.assertEqual(late.response().body, b"late")

    def test_readiness_is_not_lost_with_the_process_that_found_it_out(self):
        with Origin(fine) as origin, Sluice.before(origin) as sluice:
            eventually(lambda: sluice.http_metrics("/ready").status == 200)
            asked = len(origin.requests)
            upgrade(self, sluice)
            self.assertEqual(sluice.http_metrics("/ready").status, 200)
            before = sluice.serving_pid()
            os.kill(before, signal.SIGKILL)
            eventually(lambda: sluice.serving_pid() != before)
            self.assertEqual(sluice.http_metrics("/ready").status, 200)
            self.assertEqual(len(origin.requests), asked)

    def test_the_status_and_the_ready_file_name_both_processes(self):
        with Sluice(FIXED % "x") as sluice:
            upgrade(self, sluice)
            status = json.loads(sluice.cli("status", "--json")[1])
            self.assertEqual((status["pid"], status["serving_pid"]), (sluice.pid, sluice.serving_pid()))
            self.assertEqual(sluice.pid, sluice.process.pid)
