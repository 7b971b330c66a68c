"""FastCGI's other end: an origin that is played (FastcgiOrigin), and php-fpm itself (PhpFpm)."""
import glob
import os
import signal
import socket
import struct
import subprocess

from wire import Message, Origin, Wire, eventually, free_port

BEGIN, ABORT, END, PARAMS, STDIN, STDOUT, STDERR = range(1, 8)


def record(kind, content=b"", padding=0, number=1):
    content = content.encode("latin-1") if isinstance(content, str) else content
    return struct.pack(">BBHHBB", 1, kind, number, len(content), padding, 0) + content + bytes(padding)


def end(protocol_status=0, exit_status=0):
    return record(END, struct.pack(">IB3x", exit_status, protocol_status))


def reply(body=b"", head="Content-Type: text/plain", errors="", piece=65535):
    """A whole answer in records."""
    body = body.encode() if isinstance(body, str) else body
    out = (head + "\r\n\r\n").encode("latin-1") + body
    records = [record(STDOUT, out[i:i + piece]) for i in range(0, len(out), piece)]
    if errors:
        records.insert(1, record(STDERR, errors))
    return b"".join(records) + record(STDOUT) + end()


def variables(data):
    pairs, at = [], 0

    def size():
        nonlocal at
        length, step = data[at], 1
        if length & 128:
            length, step = struct.unpack_from(">I", data, at)[0] & 0x7fffffff, 4
        at += step
        return length
    while at < len(data):
        name, value = size(), size()
        pairs.append((data[at:at + name].decode("latin-1"), data[at + name:at + name + value].decode("latin-1")))
        at += name + value
    assert at == len(data), "a variable goes over the end of its record"
    return pairs


class FastcgiServed(Wire):
    """The application's end of a connection that sluice made: .vars instead of headers."""

    def record(self):
        version, kind, number, size, padding, _ = struct.unpack(">BBHHBB", self.take(8))
        assert (version, number) == (1, 1), "version %d, request %d" % (version, number)
        content = self.take(size)
        self.take(padding)
        return kind, content

    def request(self):
        message = Message()
        kind, content = self.record()
        assert kind == BEGIN, "a request begins with a record of type %d" % kind
        role, flags = struct.unpack(">HB5x", content)
        assert role == 1, "role %d" % role
        message.keeps, message.pairs, message.body, message.records = bool(flags & 1), [], b"", 0
        while True:
            kind, content = self.record()
            assert kind == PARAMS, "type %d among the variables" % kind
            if not content:
                break
            message.pairs += variables(content)
        while True:
            kind, content = self.record()
            assert kind == STDIN, "type %d in the body" % kind
            if not content:
                break
            message.body += content
            message.records += 1
        message.vars = dict(message.pairs)
        assert len(message.vars) == len(message.pairs), "a variable stands twice: %r" % message.pairs
        message.method, message.target = message.vars["REQUEST_METHOD"], message.vars["REQUEST_URI"]
        return message


class FastcgiOrigin(Origin):
    kind = FastcgiServed

    def __init__(self, serve=None, **more):
        def close_unless_kept(request):
            answered = serve(request)
            parts = answered if isinstance(answered, tuple) else (answered,)
            return parts if request.keeps else parts + (None,)
        super().__init__(serve and close_unless_kept, **more)


class PhpFpm:
    """php-fpm with these scripts ({name: text}), on a unix path or a free port, in a session of its own."""

    def __init__(self, folder, scripts, children=2, unix=True):
        self.folder, self.root = folder, folder + "/php"
        os.mkdir(self.root)
        for name, text in scripts.items():
            with open(self.root + "/" + name, "w") as f:
                f.write(text)
        if unix:
            self.bind, self.endpoint = folder + "/php.sock", "unix:" + folder + "/php.sock"
        else:
            self.bind = self.endpoint = "127.0.0.1:%d" % free_port()
        with open(folder + "/fpm.conf", "w") as f:
            f.write("""[global]
error_log = %s/fpm.log
process_control_timeout = 10s
[www]
user = %d
group = %d
listen = %s
listen.mode = 0666
pm = static
pm.max_children = %d
php_admin_value[log_errors] = on
php_admin_value[error_log] =
""" % (folder, os.getuid(), os.getgid(), self.bind, children))
        self.process = None

    def start(self):
        binary = sorted(glob.glob("/usr/sbin/php-fpm*"))[-1]
        command = [binary, "--nodaemonize", "--fpm-config", self.folder + "/fpm.conf"]
        command += ["--allow-to-run-as-root"] if os.getuid() == 0 else []
        with open(self.folder + "/fpm.out", "a") as out:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
        eventually(self.listens, "php-fpm", 30)
        return self

    def listens(self):
        assert self.process.poll() is None, open(self.folder + "/fpm.out").read()
        family = socket.AF_UNIX if self.bind.startswith("/") else socket.AF_INET
        with socket.socket(family) as s:
            return s.connect_ex(self.bind if family == socket.AF_UNIX else (self.bind.split(":")[0], int(self.bind.split(":")[1]))) == 0

    def stop(self, number=signal.SIGQUIT):
        """SIGQUIT: after the requests that run."""
        self.process.send_signal(number)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            raise
