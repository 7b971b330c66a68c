"""An HTTP/2 client, frame by frame (the frames of ../corpus/h2_corpus.py), with prior knowledge.

It opens no window and answers no PING unless it is told to; everything that reads has a deadline.
"""
import socket

from wire import PATIENCE, Ended  # noqa: F401  (its path to the corpus, too)
from h2_corpus import CONT, DATA, GOAWAY, HEADERS, PING, RST, SETTINGS, WINDOW, frame, header_frames, hpack, status_of  # noqa: F401

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
END, END_HEADERS, ACK = 1, 4, 1
NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, REFUSED_STREAM, CANCEL, CALM = 0, 1, 2, 7, 8, 11
LARGE = (1 << 31) - 1


def word(number):
    return number.to_bytes(4, "big")


class Stream:
    def __init__(self):
        self.statuses, self.body, self.ended, self.reset, self.blocks = [], b"", False, None, 0

    @property
    def status(self):
        return self.statuses[-1] if self.statuses else None


class H2Client:
    def __init__(self, address, window=None, preface=True):
        self.sock = socket.create_connection(address, PATIENCE)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer, self.streams, self.goaways, self.pings, self.acks, self.ended = b"", {}, [], [], [], False
        self.settings, self.next, self.answers_pings = None, 1, True
        if preface:
            entries = b"\0\1\0\0\0\0" + (b"" if window is None else b"\0\4" + word(window))  # no table: literals come
            self.send(PREFACE + frame(SETTINGS, 0, 0, entries))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    # -- what it says --

    def send(self, *parts):
        self.sock.sendall(b"".join(parts))

    def head(self, target="/", method="GET", end=True, headers=()):
        """-> (stream, bytes)"""
        stream, self.next = self.next, self.next + 2
        fields = [[":method", [method]], [":scheme", ["http"]], [":authority", ["a.example"]], [":path", [target]]]
        fields += [[n, [v]] for n, v in headers]
        self.streams[stream] = Stream()
        return stream, header_frames(stream, fields, end)

    def request(self, target="/", method="GET", end=True, headers=()):
        stream, head = self.head(target, method, end, headers)
        self.send(head)
        return stream

    def data(self, stream, body, end=False):
        self.send(frame(DATA, END if end else 0, stream, body))

    def open_window(self, stream, by=1 << 20):
        self.send(frame(WINDOW, 0, stream, word(by)))

    def reset(self, stream, code=CANCEL):
        self.send(frame(RST, 0, stream, word(code)))

    # -- what it hears --

    def hear(self):
        """Takes one frame -> its type."""
        while len(self.buffer) < 9 or len(self.buffer) < 9 + int.from_bytes(self.buffer[:3], "big"):
            self.sock.settimeout(PATIENCE)
            try:
                data = self.sock.recv(1 << 20)
            except ConnectionError:
                data = b""
            except TimeoutError:
                raise AssertionError("no frame came within %g s" % PATIENCE) from None
            if not data:
                self.ended = True
                raise Ended("the connection is closed; GOAWAY %r" % self.goaways)
            self.buffer += data
        size = int.from_bytes(self.buffer[:3], "big")
        kind, flags, stream = self.buffer[3], self.buffer[4], int.from_bytes(self.buffer[5:9], "big")
        payload, self.buffer = self.buffer[9:9 + size], self.buffer[9 + size:]
        self._take(kind, flags, self.streams.setdefault(stream, Stream()), payload)
        return kind

    def _take(self, kind, flags, stream, payload):
        if kind == SETTINGS and not flags & ACK:
            self.settings = {int.from_bytes(payload[i:i + 2], "big"): int.from_bytes(payload[i + 2:i + 6], "big") for i in range(0, len(payload), 6)}
            self.send(frame(SETTINGS, ACK, 0))
        elif kind == PING and not flags & ACK:
            self.pings.append(payload)
            if self.answers_pings:
                self.send(frame(PING, ACK, 0, payload))
        elif kind == PING:
            self.acks.append(payload)
        elif kind == GOAWAY:
            self.goaways.append((int.from_bytes(payload[:4], "big"), int.from_bytes(payload[4:8], "big")))
        elif kind == RST:
            stream.reset = int.from_bytes(payload, "big")
        elif kind == HEADERS:
            stream.blocks += 1
            if stream.body == b"" and (not stream.statuses or stream.statuses[-1] < 200):
                stream.statuses.append(status_of(payload))
        elif kind == DATA:
            stream.body += payload
        if kind in (HEADERS, DATA) and flags & END:
            stream.ended = True

    def hear_until(self, true):
        while not true():
            self.hear()

    def answer(self, stream):
        """Hears until the stream has ended -> it"""
        self.hear_until(lambda: self.streams[stream].ended or self.streams[stream].reset is not None)
        return self.streams[stream]

    def get(self, target="/", **more):
        return self.answer(self.request(target, **more))

    def echo(self, opaque=b"are you "):
        """A PING, and its ack."""
        self.send(frame(PING, 0, 0, opaque))
        self.hear_until(lambda: opaque in self.acks)

    def at_end(self):
        """Hears until the connection ends -> the code of its last GOAWAY, or None"""
        try:
            while True:
                self.hear()
        except Ended:
            return self.goaways[-1][1] if self.goaways else None
