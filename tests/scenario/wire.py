"""Both ends of the wire, byte by byte: Client talks to sluice, Origin and UwsgiOrigin stand behind it.

Everything that reads has a deadline and parses strictly (../corpus/oracle.py): what is not canonical
HTTP/1.1 fails the test that reads it. Text given to send() is latin-1: one character, one byte.
"""
import os, queue, random, re, socket, struct, sys, threading, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "corpus"))
import oracle  # noqa: E402

PATIENCE = float(os.environ.get("SLUICE_TEST_PATIENCE", "10"))  # seconds until an awaited event counts as missing


def listen_somewhere(host="127.0.0.1", family=socket.AF_INET, backlog=128):
    """A listener below the range of ephemeral ports: nobody else is given its port while it is away, and a dial to a
    port where nobody listens does not meet itself."""
    with open("/proc/sys/net/ipv4/ip_local_port_range") as f:
        top = max(int(f.read().split()[0]), 20000)
    for _ in range(1000):
        try:
            return socket.create_server((host, random.randrange(10000, top)), family=family, backlog=backlog)
        except OSError:
            pass
    raise AssertionError("no port is free")


def free_port():
    with listen_somewhere() as s:
        return s.getsockname()[1]


class Ended(AssertionError):
    """The other side closed where more was awaited."""


def eventually(ask, what="what was awaited", seconds=PATIENCE):
    """Polls until ask() is true and returns its value; the deadline makes it a failure."""
    end = time.monotonic() + seconds
    while True:
        value = ask()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError("%s did not come within %g s" % (what, seconds))
        time.sleep(0.005)


def to_bytes(text):
    return text.encode("latin-1") if isinstance(text, str) else bytes(text)


def fields(headers):
    if isinstance(headers, dict):
        headers = headers.items()
    return "".join("%s: %s\r\n" % (n, v) for n, v in headers)


def answer(body=b"", status=200, headers=(), chunked=False, reason="OK"):
    """A whole response as an origin would send it."""
    body = to_bytes(body)
    head = "HTTP/1.1 %d %s\r\n%s" % (status, reason, fields(headers))
    if chunked:
        return to_bytes(head + "Transfer-Encoding: chunked\r\n\r\n") + chunks(body)
    return to_bytes(head + "Content-Length: %d\r\n\r\n" % len(body)) + body


def chunks(*pieces, last=True, trailers=()):
    out = b"".join(b"%x\r\n%s\r\n" % (len(p), to_bytes(p)) for p in pieces if p)
    return out + (b"0\r\n" + to_bytes(fields(trailers)) + b"\r\n" if last else b"")


class Message:
    def __init__(self):
        self.headers, self.body, self.trailers, self.framing = [], b"", [], "none"

    def get(self, name):
        """The value; None when absent; a failure when there are several."""
        values = self.all(name)
        assert len(values) < 2, "%s stands %d times: %r" % (name, len(values), values)
        return values[0] if values else None

    def all(self, name):
        return [v for n, v in self.headers if n == name.lower()]

    def has(self, name):
        return bool(self.all(name))


class Wire:
    """A socket and what was read from it but not yet asked for."""

    def __init__(self, sock):
        self.sock, self.buffer, self.ended = sock, bytearray(), False
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, *parts):
        self.sock.settimeout(PATIENCE)
        self.sock.sendall(b"".join(to_bytes(p) for p in parts))

    def finish_sending(self):
        self.sock.shutdown(socket.SHUT_WR)

    def close(self):
        self.sock.close()

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def fill(self, seconds=PATIENCE, most=1 << 16):
        """Reads something more; False at the end."""
        if self.ended:
            return False
        self.sock.settimeout(max(seconds, 0.001))
        try:
            piece = self.sock.recv(most)
        except socket.timeout:
            raise AssertionError("nothing came for %g s; so far: %r" % (seconds, bytes(self.buffer[:200]))) from None
        except ConnectionResetError:
            raise Ended("reset by the other side; so far: %r" % bytes(self.buffer[:200])) from None
        self.ended = not piece
        self.buffer += piece
        return bool(piece)

    def take(self, count):
        while len(self.buffer) < count:
            if not self.fill():
                raise Ended("closed %d bytes early; so far: %r" % (count - len(self.buffer), bytes(self.buffer[:200])))
        out = bytes(self.buffer[:count])
        del self.buffer[:count]
        return out

    def take_until(self, mark):
        mark, start = to_bytes(mark), 0
        while True:
            at = self.buffer.find(mark, start)
            if at >= 0:
                return self.take(at + len(mark))
            start = max(0, len(self.buffer) - len(mark))
            if not self.fill():
                raise Ended("closed before %r; so far: %r" % (mark, bytes(self.buffer[:200])))

    def rest(self):
        """Everything up to the end."""
        while self.fill():
            pass
        out = bytes(self.buffer)
        self.buffer.clear()
        return out

    def at_end(self, seconds=PATIENCE):
        """Awaits an orderly end with nothing before it."""
        more = bool(self.buffer) or self.fill(seconds)
        assert not more, "more came instead of the end: %r" % bytes(self.buffer[:200])
        return True

    def is_gone(self, seconds=PATIENCE):
        """Awaits the end, orderly or not; what comes before it is dropped."""
        end = time.monotonic() + seconds
        try:
            while self.fill(end - time.monotonic()):
                self.buffer.clear()
        except Ended:
            pass
        return True

    def is_silent(self, seconds):
        """Nothing comes, not even the end, for that long."""
        if self.buffer or self.ended:
            return False
        self.sock.settimeout(seconds)
        try:
            piece = self.sock.recv(1, socket.MSG_PEEK)
        except socket.timeout:
            return True
        raise AssertionError("there came %r" % piece)

    def _fields(self):
        block = self.take_until("\r\n")
        if block == b"\r\n":
            return []
        block += self.take_until("\r\n\r\n") if not self.buffer.startswith(b"\r\n") else self.take(2)
        return oracle._fields(block[:-4])

    def _chunked(self, message):
        pieces = []
        while True:
            size = self.take_until("\r\n")
            if not oracle.CHUNK.match(size[:-2]):
                raise AssertionError("bad chunk-size line %r" % size[:60])
            size = int(size.split(b";")[0], 16)
            if size == 0:
                break
            pieces.append(self.take(size))
            assert self.take(2) == b"\r\n", "chunk data not followed by CRLF"
        message.trailers = self._fields()
        message.body = b"".join(pieces)

    def _body(self, message, length):
        if length == "chunked":
            message.framing = "chunked"
            self._chunked(message)
        elif length is not None:
            message.framing = "length"
            message.body = self.take(length)


class Client(Wire):
    def __init__(self, address, receive_buffer=None):
        if isinstance(address, str):
            sock = socket.socket(socket.AF_UNIX)
        else:
            sock = socket.socket(socket.AF_INET)
        sock.settimeout(PATIENCE)
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.connect(address)
        super().__init__(sock)

    def ask(self, target="/", method="GET", headers=(), body=None, host="example.com", version="1.1"):
        """Sends a request; the answer is for response() to take."""
        text = "%s %s HTTP/%s\r\n" % (method, target, version)
        text += "Host: %s\r\n" % host if host is not None else ""
        text += fields(headers)
        if body is not None:
            body = to_bytes(body)
            text += "Content-Length: %d\r\n" % len(body)
        self.send(text + "\r\n", body or b"")

    def get(self, target="/", method="GET", **more):
        self.ask(target, method, **more)
        return self.response(method)

    def head(self):
        """Status line and fields of the next answer, final or not; the body is left in the buffer."""
        message = Message()
        line = self.take_until("\r\n")
        m = re.fullmatch(rb"HTTP/1\.[01] ([1-9][0-9][0-9])(?: ([\t -~\x80-\xff]*))?\r\n", line)
        assert m, "bad status line %r" % line
        message.status, message.reason = int(m[1]), (m[2] or b"").decode("latin-1")
        message.headers = self._fields()
        return message

    def response(self, method="GET"):
        """The next final answer, whole; the 1xx before it are in .interims."""
        interims = []
        while True:
            message = self.head()
            if message.status >= 200 or message.status == 101:
                break
            interims.append(message)
        message.interims = interims
        length = oracle._length(message.headers, "HTTP/1.1")
        if method == "HEAD" or message.status in (101, 204, 304):
            return message
        if length is None:
            message.framing, message.body = "close", self.rest()
        else:
            self._body(message, length)
        return message


class Served(Wire):
    """The origin's end of a connection that sluice made."""

    def head(self):
        message = Message()
        line = self.take_until("\r\n")
        m = re.fullmatch(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([^\x00-\x20\x7f]+) (HTTP/1\.[01])\r\n", line)
        assert m, "bad request line %r" % line
        message.method, message.target, message.version = m[1].decode(), m[2].decode("latin-1"), m[3].decode()
        message.headers = self._fields()
        assert len(message.all("host")) == 1, "Host stands %d times" % len(message.all("host"))
        return message

    def request(self):
        message = self.head()
        self._body(message, oracle._length(message.headers, message.version))
        return message


class UwsgiServed(Wire):
    """The same for the uwsgi protocol: .vars instead of headers."""

    def request(self):
        message = self.head()
        message.body = self.take(int(message.vars.get("CONTENT_LENGTH") or 0))
        return message

    def head(self):
        message = Message()
        modifier1, size, modifier2 = struct.unpack("<BHB", self.take(4))
        assert (modifier1, modifier2) == (0, 0), "modifiers are %d, %d" % (modifier1, modifier2)
        block, at, pairs = self.take(size), 0, []
        while at < size:
            item = []
            for _ in range(2):
                (length,) = struct.unpack_from("<H", block, at)
                item.append(block[at + 2:at + 2 + length].decode("latin-1"))
                at += 2 + length
            pairs.append(tuple(item))
        assert at == size, "the block's pairs do not fill it"
        message.pairs, message.vars, message.block_size = pairs, dict(pairs), size
        assert len(message.vars) == len(pairs), "a variable stands twice: %r" % pairs
        message.method, message.target = message.vars["REQUEST_METHOD"], message.vars["REQUEST_URI"]
        return message


class Origin:
    """Listens on a free port or a unix path. Without `serve`, connections wait for accept(), and the
    test plays the origin's part; with it, each request is answered by what serve(request) returns:
    bytes, or (bytes, ..., None) to close after them. Requests served are in .requests."""

    kind = Served

    def __init__(self, serve=None, path=None, backlog=128, address=("127.0.0.1", 0)):
        self.serve, self.requests, self.connections, self.errors = serve, [], [], []
        self.waiting, self.count = queue.Queue(), 0
        if path:
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.bind(path)
            self.sock.listen(backlog)
            self.endpoint = "unix:" + path
        else:
            v6 = ":" in address[0]
            family = socket.AF_INET6 if v6 else socket.AF_INET
            self.sock = socket.create_server(address, family=family, backlog=backlog) if address[1] else listen_somewhere(address[0], family, backlog)
            self.port = self.sock.getsockname()[1]
            self.endpoint = ("[%s]:%d" if v6 else "%s:%d") % (address[0], self.port)
        self.thread = threading.Thread(target=self._accept_all, daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.stop()
        for connection in self.connections:
            connection.close()
        if kind is None and self.errors:
            raise self.errors[0]

    def stop(self):
        """Listens no more; connections stay."""
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()
        self.thread.join(PATIENCE)

    def accept(self, seconds=PATIENCE):
        try:
            return self.waiting.get(timeout=seconds)
        except queue.Empty:
            raise AssertionError("sluice did not connect to the origin within %g s" % seconds) from None

    def is_left_alone(self, seconds=0.15):
        """Nobody connects for that long."""
        try:
            self.waiting.get(timeout=seconds)
        except queue.Empty:
            return True
        raise AssertionError("sluice connected to the origin")

    def _accept_all(self):
        while True:
            try:
                sock, _ = self.sock.accept()
            except OSError:
                return
            connection = self.kind(sock)
            self.count += 1
            self.connections.append(connection)
            if self.serve:
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()
            else:
                self.waiting.put(connection)

    def _serve(self, connection):
        try:
            while connection.buffer or connection.fill(600):
                request = connection.request()
                request.connection = connection
                self.requests.append(request)
                reply = self.serve(request)
                for part in reply if isinstance(reply, tuple) else (reply,):
                    if part is None:
                        connection.close()
                        return
                    connection.send(part)
                if self.kind is UwsgiServed:
                    connection.close()
                    return
        except Ended:
            pass
        except OSError:
            pass
        except Exception as error:  # what sluice sent was not canonical: the test must hear of it
            self.errors.append(error)
        finally:
            connection.close()


class UwsgiOrigin(Origin):
    kind = UwsgiServed
