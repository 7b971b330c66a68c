"""Clients that are slow on purpose, in each of slowhttptest's ways and some more: they end within the timeout that is
for them, are counted, and nobody else notices."""
import os, re, select, shutil, statistics, subprocess, threading, time, unittest

from harness import Scenario, Sluice, Stopwatch
from tls import SecureClient
from wire import Origin, answer, eventually

CLIENTS = 200


def fine(request):
    return answer("fine")


class Slow(Scenario):
    def ask(self, sluice, target):
        """What a normal client does: one request on a connection of its own."""
        return sluice.get(target)

    def times(self, sluice, target, enough):
        taken = []
        while not enough(taken):
            began = time.monotonic()
            response = self.ask(sluice, target)
            taken.append(time.monotonic() - began)
            self.assertEqual(response.status, 200)
        return taken

    def unharmed(self, sluice, run, target="/fine"):
        """run() attacks until it is over; a normal client does not notice. -> what run() returned"""
        before = self.times(sluice, target, lambda taken: len(taken) >= 50)
        result, done = [], threading.Event()

        def attack():
            try:
                result.append(run())
            finally:
                done.set()
        thread = threading.Thread(target=attack)
        thread.start()
        during = self.times(sluice, target, lambda taken: done.is_set() and len(taken) >= 50)
        thread.join()
        self.assertTrue(result, "the attack itself failed")
        self.assertLess(statistics.median(during), 5 * statistics.median(before) + 0.005)
        return result[0]

    def drops(self, sluice, reason):
        return sluice.metric("sluice_dropped_total", reason=reason)


@unittest.skipUnless(shutil.which("slowhttptest"), "slowhttptest is not installed (tests/install test)")
class SlowHttpTest(Slow):
    def attack(self, sluice, *options, path="/", all_told=True):
        """Until no connection is left, as they see it; -> seconds. Not `all_told`: that long whatever happens, since who
        reads that slowly learns of the end much later."""
        def run():
            watch = Stopwatch()
            url = "http://127.0.0.1:%d%s" % (sluice.address[1], path)
            done = subprocess.run(["slowhttptest", "-c", str(CLIENTS), "-r", "1000", "-l", "60" if all_told else "14", "-u", url, *options], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=sluice.dir, timeout=80)
            text = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)
            self.assertTrue("No open connections left" in text or not all_told, text[-300:])
            return watch.seconds
        return self.unharmed(sluice, run)

    def test_slow_headers(self):
        """One more field each second: slowloris."""
        with Origin(fine) as origin, Sluice.before(origin, listener="timeouts: { header: 3s }") as sluice:
            self.assertWithin(self.attack(sluice, "-H", "-i", "1"), 2, 15)
            self.assertGreaterEqual(self.drops(sluice, "header_timeout"), CLIENTS)
            self.assertGreaterEqual(sluice.metric("sluice_limit_hits_total", limit="header_timeout"), CLIENTS)

    def test_slow_body(self):
        """A piece every four seconds: are-you-dead-yet."""
        with Origin(fine) as origin, Sluice.before(origin, listener="timeouts: { body: 2s }") as sluice:
            self.assertWithin(self.attack(sluice, "-B", "-i", "4", "-s", "8192"), 1, 15)
            self.assertGreaterEqual(self.drops(sluice, "client_timeout"), CLIENTS)
            self.assertTrue(all(r.method == "GET" for r in origin.requests))  # the application saw none of them

    def test_slow_body_that_never_pauses_long(self):
        with Origin(fine) as origin, Sluice.before(origin, listener="timeouts: { body: 5s }, limits: { body_rate: 1KiB }") as sluice:
            self.assertWithin(self.attack(sluice, "-B", "-i", "1", "-s", "1000000"), 8, 30)
            self.assertGreaterEqual(self.drops(sluice, "client_timeout"), CLIENTS)

    def with_file(self, **settings):
        config = """
listeners: [ { address: 127.0.0.1:0, timeouts: { send: $send }, limits: { send_rate: $rate } } ]
routes:
  - { path: /files/, static: { root: $dir } }
  - { path: /, respond: { status: 200 } }
"""
        sluice = Sluice(config, **settings)
        with open(sluice.dir + "/big", "wb") as f:
            f.write(os.urandom(1 << 20) * 16)
        return sluice

    def test_range_attack(self):
        """Hundreds of overlapping ranges of one file cost no more than the file."""
        with self.with_file(send="3s", rate="off") as sluice:
            sent, cpu = sluice.metric("sluice_response_body_bytes_total"), sluice.cpu_seconds()
            self.attack(sluice, "-R", "-a", "1", "-b", "3000", "-t", "GET", path="/files/big")
            self.assertLess(sluice.cpu_seconds() - cpu, 20)
            self.assertLess(sluice.rss(), 200 << 20)
            self.assertLess(sluice.metric("sluice_response_body_bytes_total") - sent, (CLIENTS + 1) * (16 << 20) + (1 << 20))

    def test_slow_read(self):
        """Little windows, a few bytes at a time."""
        with self.with_file(send="2s", rate="off") as sluice:
            self.attack(sluice, "-X", "-w", "512", "-y", "1024", "-n", "3", "-z", "16", path="/files/big", all_told=False)
            self.assertGreaterEqual(self.drops(sluice, "client_send_timeout"), CLIENTS)

    def test_slow_read_that_never_pauses_long(self):
        with self.with_file(send="20s", rate="100KiB") as sluice:
            self.attack(sluice, "-X", "-w", "4096", "-y", "8192", "-n", "1", "-z", "4096", path="/files/big", all_told=False)
            self.assertGreaterEqual(self.drops(sluice, "client_send_timeout"), CLIENTS)


class Trickle(Slow):
    """A byte at a time, with pauses shorter than the timeout: it ends at the timeout all the same."""

    def trickle(self, sluice, bytes_to_send, within, count=50, every=0.15):
        """count connections say them one by one until all are closed -> seconds"""
        def run():
            watch = Stopwatch()
            clients = [sluice.client() for _ in range(count)]
            open_ones = list(clients)
            for one in bytes_to_send * 1000:
                for client in list(open_ones):
                    try:
                        client.send(bytes([one]))
                        if not client.is_silent(0.0001):
                            open_ones.remove(client)
                    except (AssertionError, OSError):
                        open_ones.remove(client)
                if not open_ones:
                    return watch.seconds
                self.assertLess(watch.seconds, within, "%d are still open" % len(open_ones))
                time.sleep(every)  # how slow they are is what this is about
        return run

    def test_headers_a_byte_at_a_time(self):
        with Origin(fine) as origin, Sluice.before(origin, listener="timeouts: { header: 2s }") as sluice:
            head = b"GET / HTTP/1.1\r\nHost: a\r\nX-A: " + b"a" * 50
            self.assertWithin(self.unharmed(sluice, self.trickle(sluice, head, 15)), 1.5, 15)
            self.assertEqual(self.drops(sluice, "header_timeout"), 50)

    def test_a_proxy_header_a_byte_at_a_time(self):
        listener = "proxy_protocol: optional, trusted_proxies: [ 127.0.0.1 ], timeouts: { header: 2s }"
        with Origin(fine) as origin, Sluice.before(origin, listener=listener) as sluice:
            header = b"PROXY TCP4 198.51.100.7 192.0.2.1 1234 "  # so slow that it is not whole in time
            self.assertWithin(self.unharmed(sluice, self.trickle(sluice, header, 15, every=0.4)), 1.5, 15)
            self.assertEqual(self.drops(sluice, "proxy_header_timeout"), 50)

    def test_a_handshake_a_byte_at_a_time(self):
        with Origin(fine) as origin, Sluice.before(origin, listener="tls: { self_signed: true }, timeouts: { handshake: 2s }") as sluice:
            def ask(_, target):
                with SecureClient(sluice.address) as client:
                    return client.get(target)
            self.ask = ask
            hello = bytes.fromhex("160301020001000001fc0303") + b"\0" * 500  # a record, and in it a ClientHello
            self.assertWithin(self.unharmed(sluice, self.trickle(sluice, hello, 15)), 1.5, 15)
            self.assertEqual(sluice.metric("sluice_tls_handshakes_total", result="timeout"), 50)
            self.assertEqual(sluice.metric("sluice_limit_hits_total", limit="handshake_timeout"), 50)

    def test_headers_a_byte_at_a_time_within_tls(self):
        with Origin(fine) as origin, Sluice.before(origin, listener="tls: { self_signed: true }, timeouts: { header: 1s }") as sluice:
            with SecureClient(sluice.address) as client:
                watch = Stopwatch()
                for one in "GET / HTTP/1.1\r\nHost: a\r\nX-A: " + "a" * 1000:
                    client.send(one)
                    if select.select([client.sock], [], [], 0.05)[0]:
                        break
                self.assertEqual(client.response().status, 408)
                self.assertWithin(watch.seconds, 0.9, 10)
            self.assertEqual(eventually(lambda: self.drops(sluice, "header_timeout")), 1)
