"""A DNS server for one name, over UDP on loopback, whose addresses change while it runs."""
import socket, struct, threading

from ports import free_port


class Names:
    def __init__(self, name, addresses, ttl=1):
        self.name, self.addresses, self.ttl, self.asked = name, list(addresses), ttl, 0
        self.port = free_port()
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", self.port))
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    @property
    def address(self):
        return "127.0.0.1:%d" % self.port

    def serve(self):
        while True:
            try:
                query, client = self.sock.recvfrom(4096)
            except OSError:
                return
            try:
                self.sock.sendto(self.answer(query), client)
            except (ValueError, IndexError, struct.error, OSError):
                pass

    def answer(self, query):
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode("ascii").lower())
            at += query[at] + 1
        kind = struct.unpack_from("!H", query, at + 1)[0]
        question = query[12:at + 5]
        self.asked += 1
        if ".".join(labels) != self.name:
            return query[:2] + struct.pack("!5H", 0x8583, 1, 0, 0, 0) + question  # NXDOMAIN
        found = list(self.addresses) if kind == 1 else []
        records = b"".join(struct.pack("!HHHIH", 0xC00C, 1, 1, self.ttl, 4) + socket.inet_aton(a) for a in found)
        return query[:2] + struct.pack("!5H", 0x8580, 1, len(found), 0, 0) + question + records

    def close(self):
        self.sock.close()
