"""NameServer: a small DNS server on loopback whose zone a test changes while it runs.

  with NameServer() as dns:
      dns.set_a("app.test", ["127.0.0.1", "127.0.0.2"], ttl=1)
      dns.set_srv("_http._tcp.app.test", [(10, 3, 8000, "one.test")])
      config = "resolver: { servers: [%s] }" % dns.address

What a name answers: records (A, AAAA, SRV), or a `mood`: "nxdomain", "servfail", "refused", "silent", "empty".
Names that nobody set are "nxdomain". With truncate() UDP answers carry TC, so that TCP is asked.
Every question is kept in .questions as (time, name, type, "udp" | "tcp").
"""
import ipaddress, random, socket, struct, threading, time

A, CNAME, AAAA, SRV = 1, 5, 28, 33
RCODES = {"nxdomain": 3, "servfail": 2, "refused": 5, "empty": 0}


def encode_name(name):
    return b"".join(bytes([len(l)]) + l.encode() for l in name.rstrip(".").split(".") if l) + b"\0"


class NameServer:
    def __init__(self):
        self.lock = threading.Lock()
        self.records, self.moods, self.truncated = {}, {}, set()
        self.questions, self.stopping = [], False
        self.tcp = socket.create_server(("127.0.0.1", 0))
        self.port = self.tcp.getsockname()[1]
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", self.port))
        self.address = "127.0.0.1:%d" % self.port
        self.threads = [threading.Thread(target=t, daemon=True) for t in (self._serve_udp, self._serve_tcp)]
        for thread in self.threads:
            thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self.stopping = True
        for sock in (self.udp, self.tcp):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            sock.close()

    # -- the zone --

    def _set(self, name, kind, records):
        with self.lock:
            self.moods.pop((name, kind), None)
            self.moods.pop((name, None), None)
            self.records[(name, kind)] = records

    def set_a(self, name, addresses, ttl=1):
        self._set(name, A, [(A, ttl, ipaddress.IPv4Address(a).packed) for a in addresses])

    def set_aaaa(self, name, addresses, ttl=1):
        self._set(name, AAAA, [(AAAA, ttl, ipaddress.IPv6Address(a).packed) for a in addresses])

    def set_srv(self, name, targets, ttl=1):
        """targets: (priority, weight, port, target)"""
        self._set(name, SRV, [(SRV, ttl, struct.pack("!HHH", p, w, port) + encode_name(t)) for p, w, port, t in targets])

    def set_mood(self, name, mood, kind=None):
        """kind None: whatever is asked of that name."""
        with self.lock:
            self.moods[(name, kind)] = mood

    def clear_mood(self, name, kind=None):
        with self.lock:
            self.moods.pop((name, kind), None)

    def truncate(self, name, yes=True):
        with self.lock:
            (self.truncated.add if yes else self.truncated.discard)(name)

    def asked(self, name, kind=None, over=None):
        """The moments at which it was asked for."""
        with self.lock:
            return [t for t, n, k, o in self.questions if n == name and kind in (None, k) and over in (None, o)]

    # -- the wire --

    def _answer(self, question, over):
        """The reply; None: silence."""
        number, flags, count = struct.unpack_from("!HHH", question)
        at, labels = 12, []
        while question[at]:
            labels.append(question[at + 1:at + 1 + question[at]].decode("latin-1").lower())
            at += 1 + question[at]
        kind = struct.unpack_from("!H", question, at + 1)[0]
        asked, name = question[12:at + 5], ".".join(labels)
        with self.lock:
            self.questions.append((time.monotonic(), name, kind, over))
            mood = self.moods.get((name, kind), self.moods.get((name, None)))
            known = any(n == name for n, _ in self.records)
            records = list(self.records.get((name, kind), []))
            truncated = over == "udp" and name in self.truncated
        if mood == "silent":
            return None
        if mood is None and not known:
            mood = "nxdomain"
        if mood or truncated:
            records = []
        random.shuffle(records)  # as name servers do
        head = struct.pack("!HHHHHH", number, 0x8180 | (0x0200 if truncated else 0) | RCODES.get(mood, 0), 1, len(records), 0, 0)
        body = b"".join(b"\xc0\x0c" + struct.pack("!HHIH", k, 1, ttl, len(data)) + data for k, ttl, data in records)
        return head + asked + body

    def _serve_udp(self):
        while not self.stopping:
            try:
                question, client = self.udp.recvfrom(4096)
                reply = self._answer(question, "udp")
                if reply:
                    self.udp.sendto(reply, client)
            except (OSError, IndexError, struct.error):
                continue

    def _serve_tcp(self):
        while not self.stopping:
            try:
                sock, _ = self.tcp.accept()
            except OSError:
                return
            threading.Thread(target=self._serve_connection, args=(sock,), daemon=True).start()

    def _serve_connection(self, sock):
        with sock:
            stream = sock.makefile("rb")
            while True:
                size = stream.read(2)
                if len(size) < 2:
                    return
                reply = self._answer(stream.read(struct.unpack("!H", size)[0]), "tcp")
                if reply:
                    sock.sendall(struct.pack("!H", len(reply)) + reply)
