"""Ports and listeners of this machine."""
import os, random, socket, time

_taken = set()


def free_port():
    """Below the range of ephemeral ports: a dial to a port where nobody listens must not meet itself."""
    with open("/proc/sys/net/ipv4/ip_local_port_range") as f:
        top = int(f.read().split()[0])
    source = random.Random(os.urandom(8))
    while True:
        port = source.randrange(10000, max(top, 20000))
        if port in _taken:
            continue
        try:
            for host in ("127.0.0.1", "127.0.0.2", "127.0.0.3"):
                with socket.socket() as s:
                    s.bind((host, port))
        except OSError:
            continue
        _taken.add(port)
        return port


def listeners():
    """{(host, port)}: from the kernel's table, so that nobody sees a connection that is not a request."""
    found = set()
    with open("/proc/net/tcp") as f:
        next(f)
        for line in f:
            words = line.split()
            if words[3] == "0A":
                host, port = words[1].split(":")
                found.add((socket.inet_ntoa(bytes.fromhex(host)[::-1]), int(port, 16)))
    return found


def listens(host, port):
    there = listeners()
    return (host, port) in there or ("0.0.0.0", port) in there


def eventually(probe, what, seconds=30.0, step=0.005):
    until = time.monotonic() + seconds
    while True:
        found = probe()
        if found:
            return found
        if time.monotonic() > until:
            raise TimeoutError("%s: not within %g s" % (what, seconds))
        time.sleep(step)
