"""Certificates made by the openssl command, and a client that speaks TLS.

  pki = Pki(folder); pki.authority("ca"); pki.issue("a", ["a.example"], by="ca")
  with secure(sluice, pki) as client: client.get("/")
"""
import os, ssl, subprocess

from wire import PATIENCE, Client


class Pki:
    def __init__(self, folder):
        self.folder = folder

    def path(self, name):
        return os.path.join(self.folder, name)

    def _run(self, *args):
        done = subprocess.run(["openssl", *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert done.returncode == 0, "openssl %s: %s" % (args[0], done.stderr)
        return done.stdout

    def _key(self, name, rsa):
        how = ["rsa:2048"] if rsa else ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        return ["-newkey", *how, "-nodes", "-keyout", self.path(name + ".key")]

    def authority(self, name):
        self._run("req", "-x509", *self._key(name, False), "-out", self.path(name + ".pem"), "-subj", "/CN=" + name, "-days", "30",
                  "-addext", "basicConstraints=critical,CA:TRUE")

    def issue(self, name, hosts=(), by=None, rsa=False, days=30, subject=None, san=None, into=None):
        """NAME.pem and NAME.key, signed by that authority or by itself. `into`: the files' name, moved there when whole."""
        san = san or ",".join("DNS:" + h for h in hosts)
        make = name if into is None else name + ".new"
        args = ["req", "-x509", *self._key(make, rsa), "-out", self.path(make + ".pem"), "-subj", subject or "/CN=" + name, "-days", str(days)]
        if san:
            args += ["-addext", "subjectAltName=" + san]
        if by:
            args += ["-CA", self.path(by + ".pem"), "-CAkey", self.path(by + ".key"), "-addext", "basicConstraints=CA:FALSE"]
        self._run(*args)
        for suffix in (".pem", ".key") if into else ():
            os.rename(self.path(make + suffix), self.path(into + suffix))

    def pair(self, name):
        return "{ cert: %s, key: %s }" % (self.path(name + ".pem"), self.path(name + ".key"))

    def client_context(self, ca=None, certificate=None):
        context = ssl.create_default_context(cafile=self.path(ca + ".pem")) if ca else ssl._create_unverified_context()
        if certificate:
            context.load_cert_chain(self.path(certificate + ".pem"), self.path(certificate + ".key"))
        return context


class SecureClient(Client):
    """A Client over TLS; `.tls` is Python's SSLSocket."""

    def __init__(self, address, context=None, name="a.example", session=None):
        super().__init__(address)
        context = context or ssl._create_unverified_context()
        self.sock.settimeout(PATIENCE)
        self.sock = self.tls = context.wrap_socket(self.sock, server_hostname=name, session=session, suppress_ragged_eofs=False)

    def certificate(self):
        return self.tls.getpeercert(binary_form=True)

    def finish_sending(self):
        raise AssertionError("Python's TLS cannot end one direction alone")


def connects(address, **more):
    """Whether TLS comes about; in TLS 1.3 a client learns of a refusal with its first read."""
    try:
        with SecureClient(address, **more) as client:
            return client.get("/").status
    except (ssl.SSLError, OSError, AssertionError):
        return None
