"""The strict client: it never asks twice. What is not answered wholly and rightly is lost.

Load starts processes; each runs an epoll loop over connections of several kinds. A request's name is in its header and
its query; the application writes it down when it executes it (site/deeds.py). What became of each request is a
Deed; judge.py compares them with the application's file.

What a server may do without losing anything: close after an answer with `Connection: close`, or close an idle
connection so early that its end is seen before the next request is written. A connection that ends after a request
was written and before its whole answer came has lost it.

Loopback has no distance, so `rtt` gives it one: a client that is a millisecond away learns of an end a moment later, and
what it writes until then is lost. Here it learns of it before; a request that it would write less than `rtt` after it
saw an end that nobody had announced counts as lost nevertheless ("closed while the request was on its way").
"""
import collections, errno, gc, heapq, mmap, multiprocessing, os, pickle, random, select, signal, socket, ssl, struct, sys, time

# kind of connection: how it behaves, and how many of a hundred connections are of it
KINDS = {
    "keeper": 34,      # keep-alive, pages and forms, short pauses
    "pauser": 20,      # keep-alive, with pauses about as long as an idle limit
    "single": 20,      # one connection per request
    "half": 6,         # one request, then shutdown(SHUT_WR), then the answer
    "uploader": 6,     # bodies from 1 KiB to 1 MiB, echoed and compared
    "downloader": 6,   # answers from 64 KiB to 1 MiB
    "trickler": 4,     # an answer that is read slowly
    "leaver": 4,       # goes away while it waits
}
Deed = collections.namedtuple("Deed", "name kind unsafe began first ended fate detail reused own target connected")
# fate: None (well), "lost", "broken", "left". first: when its answer began. own: seconds it asks for by itself.

FLAGS, COUNTS, SIZE = 0, 256, 4096  # of the shared page: stop, then a flag per target; a counter per process
_BLOCK = random.Random(7).randbytes(2 << 20)
_PIECE = 1 << 18
WAY = "closed while the request was on its way"


class Load:
    """Client processes against targets [(host, port)]. Only open targets get new connections."""

    def __init__(self, targets, folder, connections=64, processes=2, patience=45.0, mix=None, pauses=(1.0, 2.0), think=0.01,
                 slow=0.0, stream=False, rtt=0.001, wave=0.0, tls=False):
        self.shared = mmap.mmap(-1, SIZE)
        self.folder, self.patience, self.processes = folder, patience, []
        for n in range(len(targets)):
            self.open(n)
        kinds = _spread(mix or KINDS, connections)
        context = multiprocessing.get_context("fork")
        for n in range(processes):
            spec = dict(number=n, targets=targets, kinds=kinds[n::processes], patience=patience, pauses=pauses, think=think, slow=slow,
                        stream=stream, rtt=rtt, wave=wave, tls=tls, out="%s/deeds.%d" % (folder, n))
            self.processes.append(context.Process(target=_work, args=(spec, self.shared), daemon=True))

    def start(self):
        for p in self.processes:
            p.start()

    def open(self, target, yes=True):
        self.shared[FLAGS + 1 + target] = 1 if yes else 0

    def count(self):
        return sum(struct.unpack_from("<%dQ" % len(self.processes), self.shared, COUNTS))

    def alive(self):
        return all(p.is_alive() for p in self.processes)

    def finish(self):
        """No new requests; waits for those that run -> [Deed]"""
        self.shared[FLAGS] = 1
        deeds = []
        for n, p in enumerate(self.processes):
            p.join(self.patience + 15)
            if p.exitcode != 0:
                if p.is_alive():
                    p.kill()
                raise RuntimeError("client process %d ended with %r" % (n, p.exitcode))
            with open("%s/deeds.%d" % (self.folder, n), "rb") as f:
                deeds += pickle.load(f)
        return deeds

    def kill(self):
        for p in self.processes:
            if p.is_alive():
                p.kill()
                p.join()


def _spread(mix, connections):
    total, kinds = sum(mix.values()), []
    for kind, share in mix.items():
        kinds += [kind] * max(1 if share else 0, round(connections * share / total))
    return kinds


def _any_certificate():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _work(spec, shared):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.disable()
    Loop(spec, shared).run()
    sys.stdout.flush()
    os._exit(0)


class Loop:
    def __init__(self, spec, shared):
        self.spec, self.shared = spec, shared
        self.random = random.Random(spec["number"] * 7919 + os.getpid())
        self.poll, self.fds, self.timers, self.serial = select.epoll(), {}, [], 0
        self.deeds, self.next = [], 0
        self.context = _any_certificate() if spec["tls"] else None
        self.busy, self.stopping, self.polled = 0, False, time.monotonic()
        self.counter = COUNTS + 8 * spec["number"]
        self.connections = [Connection(self, kind) for kind in spec["kinds"]]

    def run(self):
        now = time.monotonic()
        for c in self.connections:
            c.at(now + self.random.uniform(0, 0.1), c.begin)
        swept = now
        while not self.stopping or self.busy:
            now = time.monotonic()
            while self.timers and self.timers[0][0] <= now:
                _, serial, c, action = heapq.heappop(self.timers)
                if c.timer == serial:
                    c.timer = 0
                    action()
            wait = min(0.05, max(0, self.timers[0][0] - time.monotonic())) if self.timers else 0.05
            found = self.poll.poll(wait, 256)
            self.polled = time.monotonic()
            for fd, events in found:
                c = self.fds.get(fd)
                if c is not None:
                    if events & (select.EPOLLRDHUP | select.EPOLLHUP) and not c.end_seen:
                        c.end_seen = self.polled
                    c.on_events(events)
            if self.shared[FLAGS] and not self.stopping:
                self.stopping = True
            if now - swept > 0.5:
                swept = now
                for c in self.connections:
                    if c.busy and now - c.began > self.spec["patience"]:
                        c.fail("lost", "no whole answer in %d s" % self.spec["patience"])
                struct.pack_into("<Q", self.shared, self.counter, len(self.deeds))
        with open(self.spec["out"], "wb") as f:
            pickle.dump(self.deeds, f, pickle.HIGHEST_PROTOCOL)

    def target(self):
        open_ones = [n for n in range(len(self.spec["targets"])) if self.shared[FLAGS + 1 + n]]
        return self.random.choice(open_ones) if open_ones else None


class Connection:
    def __init__(self, loop, kind):
        self.loop, self.kind = loop, kind
        self.sock, self.fd, self.timer, self.busy = None, -1, 0, False
        self.connected, self.target, self.is_connecting, self.end_seen = 0.0, 0, False, 0.0
        self.is_shaking = False

    def at(self, when, action):
        loop = self.loop
        loop.serial += 1
        self.timer = loop.serial
        heapq.heappush(loop.timers, (when, self.timer, self, action))

    # -- asking --

    def begin(self):
        loop = self.loop
        if loop.stopping:
            return self.drop()
        if self.sock is not None and not self.is_usable():
            if time.monotonic() - (self.end_seen or loop.polled) <= loop.spec["rtt"]:
                return self.lose_on_the_way()
            self.drop()
        if self.sock is None:
            self.target = loop.target()
            if self.target is None:
                return self.at(time.monotonic() + 0.02, self.begin)
        self.make_request()
        self.busy, self.got, self.head_end, self.first = True, bytearray(), -1, 0.0
        self.chunked = self.until_close = self.closing = False
        self.need = self.scan = self.was_read = 0
        self.readable = False
        loop.busy += 1
        self.began = time.monotonic()
        self.reused = self.sock is not None
        if self.reused:
            self.send()
        else:
            self.connect()
        if self.busy and self.kind == "leaver":
            self.at(self.began + loop.random.expovariate(4), self.leave)

    def lose_on_the_way(self):
        self.make_request()
        self.busy, self.got, self.head_end, self.first, self.reused = True, bytearray(), -1, 0.0, True
        self.loop.busy += 1
        self.began = time.monotonic()
        self.fail("lost", WAY)

    def is_usable(self):
        """An end that is here before the next request is written loses nothing."""
        try:
            self.sock.recv(*(1, socket.MSG_PEEK) if self.loop.context is None else (1,))
            return False
        except (BlockingIOError, ssl.SSLWantReadError):
            return True
        except OSError:
            return False

    def make_request(self):
        loop, kind, rand = self.loop, self.kind, self.loop.random
        loop.next += 1
        name = self.name = b"%d.%d" % (loop.spec["number"], loop.next)
        self.own, body, self.unsafe = 0.0, b"", False
        dice = rand.random()
        size = rand.randrange(16, 4096)
        path = b"/page"
        if kind == "uploader" or (kind in ("keeper", "pauser", "single", "half", "leaver") and dice < 0.3):
            size = int(1024 * 2 ** rand.uniform(0, 10)) if kind == "uploader" else rand.randrange(1, 4096)
            self.unsafe, path = True, b"/echo"
            at = rand.randrange(len(_BLOCK) - size)
            body = (name + _BLOCK[at:at + size])[:max(size, len(name))]
        elif kind == "downloader":
            size = int(65536 * 2 ** rand.uniform(0, 4))
        elif kind == "trickler":
            size = 192 << 10
        if loop.spec["stream"] and dice > 0.8 and kind != "uploader":
            path = b"/stream"
        extra = b""
        if loop.spec["slow"] and kind == "single" and not self.unsafe and rand.random() < 0.04:
            self.own = loop.spec["slow"]
            path, extra = b"/slow", b"&ms=%d" % int(self.own * 1000)
        self.path = path
        close = b"Connection: close\r\n" if kind == "half" or (kind == "single" and dice > 0.5) else b""
        self.expected = body if self.unsafe else None
        self.size = len(body) if self.unsafe else size
        if self.unsafe:
            head = b"POST %b?id=%b HTTP/1.1\r\nHost: storm.test\r\nX-Storm-Id: %b\r\nContent-Length: %d\r\n%b\r\n" % (
                path, name, name, len(body), close)
        else:
            head = b"GET %b?id=%b&n=%d%b HTTP/1.1\r\nHost: storm.test\r\nX-Storm-Id: %b\r\n%b\r\n" % (path, name, size, extra, name, close)
        self.out = head + body

    def connect(self):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.sock.setblocking(False)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.kind == "trickler":
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        self.is_connecting, self.end_seen = True, 0.0
        code = self.sock.connect_ex(self.loop.spec["targets"][self.target])
        if code not in (0, errno.EINPROGRESS):
            return self.fail("lost", "connect: " + errno.errorcode.get(code, str(code)))
        if self.loop.context is not None:
            self.sock = self.loop.context.wrap_socket(self.sock, do_handshake_on_connect=False, suppress_ragged_eofs=False)
            self.is_shaking = True
        self.fd = self.sock.fileno()
        self.loop.fds[self.fd] = self
        self.loop.poll.register(self.fd, select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET)

    def shake(self):
        """-> is TLS there?"""
        try:
            self.sock.do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        except OSError as e:
            self.fail("lost", "TLS: %s" % e)
            return False
        self.is_shaking = False
        return True

    def send(self):
        if self.is_shaking and not self.shake():
            return
        try:
            while self.out:
                sent = self.sock.send(self.out)
                if sent == len(self.out):
                    self.out = b""
                    break
                self.out = self.out[sent:]
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except OSError:
            return  # what it is, and whether an answer came before it, reading tells
        if not self.out and self.kind == "half":
            try:
                socket.socket.shutdown(self.sock, socket.SHUT_WR)  # an SSLSocket's own would forget TLS
            except OSError:
                pass

    # -- the answer --

    def on_events(self, events):
        if not self.busy:
            return  # the end of an idle connection: is_usable() sees it
        if self.is_connecting:
            code = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                return self.fail("lost", "connect: " + errno.errorcode.get(code, str(code)))
            if not events & select.EPOLLOUT:
                return
            self.is_connecting, self.connected = False, time.monotonic()
        if self.out and (self.is_shaking or events & select.EPOLLOUT):
            self.send()
            if not self.busy or self.is_shaking:
                return
        if events & (select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR):
            if self.kind == "trickler":
                self.readable = True
                if not self.timer:
                    self.trickle()
                return
            self.read(_PIECE)

    def trickle(self):
        if self.busy and self.readable:
            self.readable = False
            self.read(8192, once=True)
            if self.busy:
                self.at(time.monotonic() + 0.02, self.trickle)

    def read(self, most, once=False):
        while True:
            try:
                data = self.sock.recv(most)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            except ssl.SSLEOFError:
                return self.ended("cut")
            except OSError as e:
                return self.ended("reset" if e.errno == errno.ECONNRESET else errno.errorcode.get(e.errno, str(e)))
            if not data:
                return self.ended("closed")
            if not self.was_read:
                self.first = time.monotonic()
            self.was_read += len(data)
            self.got += data
            if not self.advance():
                return
            if once:
                self.readable = True
                return

    def advance(self):
        """Looks at what came -> is more awaited?"""
        got = self.got
        if self.head_end < 0:
            end = got.find(b"\r\n\r\n")
            if end < 0:
                if not b"HTTP/1.1 ".startswith(got[:9]):
                    self.fail("broken", "not an answer: %r" % bytes(got[:40]))
                    return False
                return True
            head = bytes(got[:end + 2]).lower()
            if not head.startswith(b"http/1.1 ") or not head[9:12].isdigit():
                self.fail("broken", "not an answer: %r" % head[:40])
                return False
            self.head_end, self.status = end + 4, int(head[9:12])
            self.closing = b"\r\nconnection: close\r\n" in head
            at = head.find(b"\r\ncontent-length: ")
            if at >= 0:
                self.need = int(head[at + 18:head.index(b"\r\n", at + 2)])
            elif b"\r\ntransfer-encoding: chunked\r\n" in head:
                self.chunked, self.scan, self.body = True, self.head_end, bytearray()
            else:
                self.until_close = True
            self.has_name = b"\r\nx-storm-id: %b\r\n" % self.name in head
        if self.until_close:
            return True
        if self.chunked:
            whole = self.take_chunks()
            if whole is None:
                self.fail("broken", "bad chunk")
                return False
            if not whole:
                return True
            rest, body = len(got) - self.scan, self.body
        else:
            rest = len(got) - self.head_end - self.need
            if rest < 0:
                return True
            body = got[self.head_end:self.head_end + self.need]
        if rest:
            self.fail("broken", "%d bytes behind the answer" % rest)
            return False
        self.over(body)
        return False

    def take_chunks(self):
        """-> True when the last chunk is here, None when they are malformed"""
        while True:
            end = self.got.find(b"\r\n", self.scan)
            if end < 0:
                return False
            try:
                size = int(self.got[self.scan:end].split(b";")[0], 16)
            except ValueError:
                return None
            if len(self.got) < end + 2 + size + 2:
                return False
            if self.got[end + 2 + size:end + 4 + size] != b"\r\n":
                return None
            self.body += self.got[end + 2:end + 2 + size]
            self.scan = end + 4 + size
            if not size:
                return True

    def ended(self, how):
        """The connection is at its end while an answer is awaited."""
        if self.until_close and how == "closed":
            self.closing = True
            return self.over(self.got[self.head_end:])
        where = "before the answer" if not self.was_read else "within the answer"
        fate = "lost" if not self.was_read else "broken"
        if self.was_read and self.head_end >= 0 and self.status >= 300:
            fate = "lost"
        self.fail(fate, "%s %s, %s connection" % (how, where, "reused" if self.reused else "fresh"))

    def over(self, body):
        if self.status != 200:
            return self.fail("lost", "status %d" % self.status, keep=True)
        if not self.has_name:
            return self.fail("broken", "another request's answer")
        if len(body) != self.size:
            return self.fail("broken", "%d bytes instead of %d" % (len(body), self.size))
        if self.expected is None:
            line = self.name + b"\n"
            self.expected = (line * (self.size // len(line) + 1))[:self.size]
        if body != self.expected:
            return self.fail("broken", "other bytes")
        self.done(None, "")

    # -- afterwards --

    def leave(self):
        """Half of them by RST, half by a plain close."""
        if self.busy:
            reset = self.loop.random.random() < 0.5
            if reset:
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.closing = True
            self.done("left", "by RST" if reset else "by FIN")

    def fail(self, fate, detail, keep=False):
        if not keep:
            self.closing = True
        if detail == "status 503" and b"\r\nretry-after: " in bytes(self.got[:self.head_end]).lower():
            detail += " with Retry-After"
        self.done(fate, detail)

    def done(self, fate, detail):
        loop, now, kind = self.loop, time.monotonic(), self.kind
        loop.deeds.append(Deed(self.name.decode(), kind + self.path.decode(), self.unsafe, self.began, self.first or now, now, fate, detail,
                               self.reused, self.own, self.target, self.connected))
        self.busy = False
        loop.busy -= 1
        self.timer = 0
        self.got = bytearray()
        if self.closing or kind in ("single", "half", "leaver"):
            self.drop()
        elif not loop.shared[FLAGS + 1 + self.target] and loop.random.random() < 0.3:
            self.drop()  # told to go elsewhere; some do so soon
        if loop.stopping:
            return self.drop()
        if fate in ("lost", "broken"):
            pause = 0.05
        elif kind == "pauser" and loop.spec["wave"]:
            # All of them ask at the same time, then none for `wave`, give or take; so no connection behind the proxy
            # is kept young by somebody else's request.
            beat = loop.spec["wave"] + 0.02
            pause = (now // beat + 1) * beat - now + loop.random.choice((0.05, 0.008)) * loop.random.uniform(-1, 1)
            pause += beat if pause < beat / 2 else 0
        elif kind == "pauser" and loop.next % 4 == 0:
            # What it used, and what that used in turn, has been idle for about as long as the limit then.
            pause = loop.random.choice(loop.spec["pauses"]) + loop.random.uniform(-0.05, 0.05)
        else:
            pause = loop.random.uniform(0, 2 * loop.spec["think"])
        self.at(now + pause, self.begin)

    def drop(self):
        if self.sock is not None:
            if self.fd in self.loop.fds:
                del self.loop.fds[self.fd]
            self.sock.close()
            self.sock, self.fd = None, -1
