"""What the application does, whatever serves it: each request is written down once, when it is executed.

STORM_LOG names the file; a line is "ID METHOD NANOSECONDS PID". One write of a line in append mode is one piece,
whoever else writes. A process that is ready to work adds a line to the file STORM_UP.
STORM_IMPORT is how many seconds it takes to start.
"""
import os
import time

_log = os.open(os.environ["STORM_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
_MOST = 16 << 20


def body_of(name, size):
    """The bytes of an answer: known to the client, other for each request."""
    line = name + b"\n"
    return (line * (size // len(line) + 1))[:size]


def perform(method, path, query, header_id, read):
    """-> (status, body, streamed). `query`: a dict; `read`: gives the request's body."""
    name = query.get("id", "")
    if not name:
        return 200, b"well\n", False
    key = name.encode()
    os.write(_log, b"%b %b %d %d\n" % (key, method.encode(), time.monotonic_ns(), os.getpid()))
    if header_id != name:
        return 400, b"two requests in one: %b and %b\n" % (key, header_id.encode()), False
    if path == "/echo":
        return 200, read(), False
    if path == "/slow":
        time.sleep(int(query["ms"]) / 1000)
    size = min(int(query.get("n", "64")), _MOST)
    return 200, body_of(key, size), path == "/stream"


def pieces(body):
    for at in range(0, len(body), 16384):
        yield body[at:at + 16384]


def up():
    time.sleep(float(os.environ.get("STORM_IMPORT", "0")))
    with open(os.environ["STORM_UP"], "ab", buffering=0) as f:
        f.write(b"%d %d\n" % (time.monotonic_ns(), os.getpid()))
