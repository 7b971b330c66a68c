"""TLS towards clients: certificates, tickets, clients that show who they are, and files that change."""
import hashlib, os, ssl, subprocess, tempfile, time

from harness import Scenario, Sluice, run_cli
from tls import Pki, SecureClient, connects
from wire import Client, Origin, answer, eventually

ROUTES = """
routes:
  - { path: /hello, respond: { body: hello } }
  - { path: /, upstream: app }
upstreams:
  app: { protocol: http1, endpoints: [ "%s" ] }
"""


class Tls(Scenario):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="sluice.tls.")
        self.addCleanup(self.folder.cleanup)
        self.pki = Pki(self.folder.name)
        self.origin = Origin(lambda request: answer(b"from the origin"))
        self.addCleanup(self.origin.__exit__, None)

    def sluice(self, tls, listener="", top="", **more):
        return Sluice("listeners:\n  - { address: 127.0.0.1:0, tls: { %s }%s }\n%s%s"
                      % (tls, ", " + listener if listener else "", ROUTES % self.origin.endpoint, top), **more)

    def one(self, **more):
        """A listener with a certificate for a.example that an authority has signed."""
        self.pki.authority("ca")
        self.pki.issue("a", ["a.example"], by="ca")
        return self.sluice("certificates: [ %s ]" % self.pki.pair("a"), **more)

    def context(self, **more):
        return self.pki.client_context("ca", **more)

    def run_tool(self, *args, text=""):
        done = subprocess.run(args, input=text.encode(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30)
        return done.returncode, done.stdout.decode("latin-1")


class Serving(Tls):
    def test_a_request_is_answered_and_the_origin_knows_how_it_came(self):
        with self.one() as sluice:
            with SecureClient(sluice.address, self.context()) as client:
                self.assertEqual(client.tls.version(), "TLSv1.3")
                self.assertEqual(client.get("/x", host="a.example").body, b"from the origin")
                self.assertEqual(client.get("/hello").body, b"hello")
            forwarded = self.origin.requests[0]
            self.assertEqual(forwarded.get("x-forwarded-proto"), "https")
            self.assertFalse(forwarded.has("x-client-cert-subject"))
            self.assertEqual(sluice.await_log(target="/x")["scheme"], "https")
            self.assertEqual(sluice.metric("sluice_tls_handshakes_total", result="success", version="1.3", resumed="no"), 1)
            expiry = next(v for n, l, v in sluice.samples() if n == "sluice_certificate_expiry_timestamp_seconds" and l["name"] == "a.example")
            self.assertWithin(expiry - time.time(), 28 * 86400, 31 * 86400)

    def test_curl_and_s_client(self):
        with self.one() as sluice:
            port = str(sluice.address[1])
            code, text = self.run_tool("curl", "-sS", "--cacert", self.pki.path("ca.pem"), "--resolve", "a.example:%s:127.0.0.1" % port,
                                       "https://a.example:%s/hello" % port)
            self.assertEqual((code, text), (0, "hello"))
            for version in ("-tls1_2", "-tls1_3"):
                code, text = self.run_tool("openssl", "s_client", "-connect", "127.0.0.1:" + port, "-servername", "a.example", version, "-alpn",
                                           "h2,http/1.1", "-CAfile", self.pki.path("ca.pem"), "-verify_return_error")
                self.assertEqual(code, 0, text)
                self.assertIn("ALPN protocol: h2", text)
            code, text = self.run_tool("openssl", "s_client", "-connect", "127.0.0.1:" + port, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0")
            self.assertNotEqual(code, 0)
            code, text = self.run_tool("openssl", "s_client", "-connect", "127.0.0.1:" + port, "-tls1_2", "-cipher", "AES128-SHA:AES128-GCM-SHA256")
            self.assertNotEqual(code, 0)
            sluice.await_metric("sluice_tls_handshakes_total", 2, result="failure")
            sluice.await_metric("sluice_dropped_total", 2, reason="tls_handshake")

    def test_self_signed_is_another_one_in_each_process(self):
        shown = []
        for _ in range(2):
            with self.sluice("self_signed: true") as sluice:
                with SecureClient(sluice.address) as client:
                    self.assertEqual(client.get("/hello").body, b"hello")
                    shown.append(client.certificate())
                before = shown[-1]
                self.assertEqual(sluice.cli("reload")[0], 0)
                with SecureClient(sluice.address) as client:
                    self.assertEqual(client.certificate(), before)
        self.assertNotEqual(shown[0], shown[1])

    def test_names(self):
        for name, rsa in (("a", False), ("b", False), ("c", True)):
            self.pki.issue(name, ["*.wild.example" if name == "b" else name + ".example"], rsa=rsa)
        with self.sluice("certificates: [ %s ]" % ", ".join(self.pki.pair(n) for n in "abc")) as sluice:
            def shown(name):
                with SecureClient(sluice.address, name=name) as client:
                    return ssl.DER_cert_to_PEM_cert(client.certificate())
            def written(name):
                with open(self.pki.path(name + ".pem")) as file:
                    return file.read()
            for asked, got in (("a.example", "a"), ("x.wild.example", "b"), ("c.example", "c"), ("other.example", "a"), (None, "a")):
                self.assertEqual(shown(asked), written(got), asked)

    def test_large_bodies_and_keep_alive(self):
        body = os.urandom(3_000_000)
        self.origin.serve = lambda request: answer(request.body, chunked=True)
        with self.one() as sluice:
            with SecureClient(sluice.address, self.context()) as client:
                for _ in range(3):
                    self.assertEqual(client.get("/", "POST", body=body).body, body)
            self.assertEqual(sluice.metric("sluice_tls_handshakes_total"), 1)

    def test_files_go_out_over_tls(self):
        with open(self.pki.path("large"), "wb") as file:
            file.write(os.urandom(700_001))
        self.pki.issue("a", ["a.example"])
        with Sluice("listeners:\n  - { address: 127.0.0.1:0, tls: { certificates: [ %s ] } }\nroutes:\n  - { path: /, static: { root: %s } }\n"
                    % (self.pki.pair("a"), self.folder.name)) as sluice:
            with SecureClient(sluice.address) as client, open(self.pki.path("large"), "rb") as file:
                self.assertEqual(client.get("/large").body, file.read())

    def test_the_end_is_said(self):
        """Connection: close is followed by close_notify; without it Python raises (suppress_ragged_eofs=False)."""
        with self.one() as sluice:
            for headers, version in (({"Connection": "close"}, "1.1"), ({}, "1.0")):
                with SecureClient(sluice.address, self.context()) as client:
                    client.ask("/hello", headers=headers, version=version)
                    self.assertEqual(client.response().body, b"hello")
                    self.assertTrue(client.at_end())

    def test_http_is_redirected_to_https(self):
        self.pki.issue("a", ["a.example"])
        with Sluice("listeners:\n  - { address: 127.0.0.1:0 }\nroutes:\n  - { path: /, redirect: { to: \"https://$host$target\", status: 308 } }\n") as sluice:
            moved = sluice.get("/a%20b?c=d", host="a.example:8080")
            self.assertEqual((moved.status, moved.get("location")), (308, "https://a.example/a%20b?c=d"))

    def test_forwarded_secrets_stay_out_of_dump_and_log(self):
        with self.one() as sluice:
            with open(self.pki.path("a.key")) as file:
                secret = file.read().splitlines()[1]
            code, text, _ = run_cli("check", "-c", sluice.config_file, "--print")
            self.assertEqual(code, 0)
            self.assertIn("a.key", text)
            self.assertNotIn(secret, text)
            self.assertNotIn(secret, sluice.stderr())


class Refusing(Tls):
    def test_plain_http_gets_400(self):
        with self.one() as sluice:
            with Client(sluice.address) as client:
                refused = client.get("/hello")
                self.assertEqual(refused.status, 400)
                self.assertTrue(refused.get("content-type").startswith("text/plain"))
                self.assertTrue(client.at_end())
            entry = sluice.await_reason(400, target="/hello")
            self.assertEqual((entry["reason"], entry["scheme"]), ("plain_http", "http"))
            self.assertEqual(sluice.metric("sluice_tls_handshakes_total", result="plain_http"), 1)

    def test_a_handshake_has_a_deadline(self):
        with self.one(listener="timeouts: { handshake: 100ms }") as sluice:
            with Client(sluice.address) as client:
                client.send(b"\x16\x03\x01\x02\x00")
                self.assertTrue(client.is_gone())
            with Client(sluice.address) as client:  # one that says nothing is nobody's loss
                self.assertTrue(client.is_gone())
            sluice.await_metric("sluice_tls_handshakes_total", 1, result="timeout")
            sluice.await_metric("sluice_limit_hits_total", 1, limit="handshake_timeout")
            sluice.await_metric("sluice_dropped_total", 1, reason="tls_handshake")

    def test_handshakes_have_a_ceiling(self):
        with self.one(listener="limits: { handshakes: 2 }") as sluice:
            waiting = [sluice.client() for _ in range(2)]
            for client in waiting:
                client.send(b"\x16")
            sluice.await_metric("sluice_connections", 2, state="new")
            with Client(sluice.address) as client:
                self.assertTrue(client.is_gone())
            sluice.await_metric("sluice_limit_hits_total", 1, limit="handshakes")
            sluice.await_metric("sluice_tls_handshakes_total", 1, result="ceiling")
            waiting[0].close()
            sluice.await_metric("sluice_connections", 1, state="new")
            self.assertEqual(connects(sluice.address), 200)

    def test_bytes_that_are_nothing(self):
        with self.one() as sluice:
            with Client(sluice.address) as client:
                client.send(b"\x00" * 100)
                self.assertTrue(client.is_gone())
            sluice.await_metric("sluice_tls_handshakes_total", 1, result="failure")
            self.assertEqual(connects(sluice.address), 200)

    def test_what_is_wrong_with_files_is_said_at_start_and_by_check(self):
        self.pki.issue("a", ["a.example"])
        self.pki.issue("b", ["b.example"])
        for pair, told in (("{ cert: %s, key: %s }" % (self.pki.path("a.pem"), self.pki.path("b.key")), "does not match the certificate"),
                           ("{ cert: %s, key: %s }" % (self.pki.path("no.pem"), self.pki.path("b.key")), "file not found")):
            sluice = self.sluice("certificates: [ %s ]" % pair)
            for command in ("check", "run"):
                code, _, text = run_cli(command, "-c", sluice.config_file)
                self.assertEqual(code, 2, text)
                self.assertRegex(text, r"sluice\.yaml:\d+: listeners\[0\]\.tls\.certificates\[0\]\.(cert|key): .*" + told)
            sluice._clear(False)


class Resuming(Tls):
    def session(self, address, context):
        with SecureClient(address, context) as client:
            client.get("/hello")  # TLS 1.3: the ticket comes before the answer
            return client.tls.session

    def resumed(self, address, context, session):
        with SecureClient(address, context, session=session) as client:
            client.get("/hello")
            return client.tls.session_reused

    def test_a_session_outlives_a_reload(self):
        with self.one() as sluice:
            for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
                context = self.context()
                context.maximum_version = version
                session = self.session(sluice.address, context)
                self.assertEqual(sluice.cli("reload")[0], 0)
                self.assertTrue(self.resumed(sluice.address, context, session))
            for version in ("1.2", "1.3"):
                self.assertEqual(sluice.metric("sluice_tls_handshakes_total", version=version, resumed="yes"), 1)

    def test_a_neighbour_with_the_same_file_of_keys_resumes_it(self):
        with open(self.pki.path("keys"), "wb") as file:
            file.write(os.urandom(80))
        self.pki.authority("ca")
        self.pki.issue("a", ["a.example"], by="ca")
        tls = "certificates: [ %s ], tickets: { keys: %s }" % (self.pki.pair("a"), self.pki.path("keys"))
        with self.sluice(tls) as one, self.sluice(tls) as other:
            context = self.context()
            session = self.session(one.address, context)
            self.assertTrue(self.resumed(other.address, context, session))
            with open(self.pki.path("keys.new"), "wb") as file:
                file.write(os.urandom(80))
            os.rename(self.pki.path("keys.new"), self.pki.path("keys"))
            other.await_metric("sluice_certificate_reloads_total", 1, result="success")
            eventually(lambda: not self.resumed(other.address, context, session), "the new key")


class Changing(Tls):
    def shown(self, sluice):
        with SecureClient(sluice.address) as client:
            return client.certificate()

    def test_files_that_change_are_taken_without_touching_a_connection(self):
        with self.one() as sluice:
            with SecureClient(sluice.address, self.context()) as kept:
                kept.get("/hello")
                before = kept.certificate()
                self.pki.issue("a", ["a.example"], by="ca", into="a")
                eventually(lambda: self.shown(sluice) != before, "the new certificate")
                self.assertEqual(kept.get("/hello").body, b"hello")

    def test_a_bad_pair_is_refused_and_the_old_one_kept(self):
        with self.one() as sluice:
            before = self.shown(sluice)
            with open(self.pki.path("a.key")) as file:
                right = file.read()
            self.pki.issue("b", ["b.example"], into="b")
            os.replace(self.pki.path("b.key"), self.pki.path("a.key"))
            eventually(lambda: sluice.metric("sluice_certificate_reloads_total", result="failure") >= 1, "the refusal")
            self.assertIn("does not match", sluice.stderr())
            self.assertEqual(self.shown(sluice), before)
            code, _, text = sluice.cli("reload")
            self.assertEqual(code, 1)
            self.assertRegex(text, r"sluice\.yaml:\d+: listeners\[0\]\.tls\.certificates\[0\]\.key: .*does not match")
            self.assertEqual(self.shown(sluice), before)
            with open(self.pki.path("a.key"), "w") as file:
                file.write(right)
            eventually(lambda: sluice.metric("sluice_certificate_reloads_total", result="success") >= 1, "the right pair")

    def test_a_listener_learns_tls_by_a_reload(self):
        self.pki.issue("a", ["a.example"])
        plain = "listeners:\n  - { address: 127.0.0.1:0 }\n" + ROUTES % self.origin.endpoint
        with Sluice(plain) as sluice:
            with sluice.client() as kept:
                self.assertEqual(kept.get("/hello").body, b"hello")
                sluice.write_config(plain.replace("127.0.0.1:0 }", "127.0.0.1:0, tls: { certificates: [ %s ] } }" % self.pki.pair("a")))
                self.assertEqual(sluice.cli("reload")[0], 0)
                self.assertEqual(kept.get("/hello").body, b"hello")
                self.assertEqual(connects(sluice.address), 200)

    def test_a_drain_and_an_upgrade_answer_who_is_idle(self):
        with self.one(top="drain: { min: 10ms, quiet: 10ms, max: 10s, deadline: 20s }\n") as sluice:
            with SecureClient(sluice.address, self.context()) as idle:
                idle.get("/hello")
                before = sluice.serving_pid()
                self.assertEqual(sluice.cli("upgrade")[0], 0)
                eventually(lambda: "a successor serves" in sluice.stderr(), "the successor")
                self.assertNotEqual(sluice.serving_pid(), before)
                last = idle.get("/hello")
                self.assertEqual(last.body, b"hello")
                self.assertEqual(last.get("connection"), "close")
                self.assertTrue(idle.at_end())
            self.assertEqual(connects(sluice.address), 200)


class Showing(Tls):
    def with_clients(self, kind, **more):
        self.pki.authority("ca")
        self.pki.issue("a", ["a.example"], by="ca")
        self.pki.issue("me", by="ca", subject="/CN=me/O=Us", san="DNS:me.example,URI:spiffe://us/me")
        self.pki.authority("other")
        self.pki.issue("stranger", by="other")
        return self.sluice("certificates: [ %s ], client_ca: %s, client_certificate: %s"
                           % (self.pki.pair("a"), self.pki.path("ca.pem"), kind), **more)

    def test_what_it_says_reaches_the_origin_and_the_log(self):
        with self.with_clients("optional") as sluice:
            spoofed = {"X-Client-Cert-Subject": "CN=root", "x-client-cert-verify": "SUCCESS"}
            with SecureClient(sluice.address, self.context(certificate="me")) as client:
                client.get("/with", headers=spoofed)
            with SecureClient(sluice.address, self.context()) as client:
                client.get("/without", headers=spoofed)
            shown, absent = self.origin.requests
            with open(self.pki.path("me.pem")) as file:
                der = ssl.PEM_cert_to_DER_cert(file.read())
            fingerprint = hashlib.sha256(der).hexdigest()
            self.assertEqual(shown.get("x-client-cert-subject"), "O=Us,CN=me")
            self.assertEqual(shown.get("x-client-cert-san"), "DNS:me.example,URI:spiffe://us/me")
            self.assertEqual(shown.get("x-client-cert-fingerprint"), fingerprint)
            self.assertFalse(shown.has("x-client-cert-verify"))
            self.assertFalse(any(n.startswith("x-client-cert") for n, _ in absent.headers))
            entry = sluice.await_log(target="/with")
            self.assertEqual([entry["client_cert_" + k] for k in ("subject", "san", "fingerprint")],
                             ["O=Us,CN=me", "DNS:me.example,URI:spiffe://us/me", fingerprint])
            self.assertNotIn("client_cert_subject", sluice.await_log(target="/without"))
            self.assertIsNone(connects(sluice.address, context=self.context(certificate="stranger")))

    def test_required(self):
        with self.with_clients("required") as sluice:
            self.assertEqual(connects(sluice.address, context=self.context(certificate="me")), 200)
            self.assertIsNone(connects(sluice.address, context=self.context()))
            self.assertIsNone(connects(sluice.address, context=self.context(certificate="stranger")))
            sluice.await_metric("sluice_dropped_total", 2, reason="tls_handshake")
            # The alert is there to be read, not lost to a reset, though a request was sent behind it.
            with SecureClient(sluice.address, self.context()) as client:
                client.ask("/hello")
                with self.assertRaisesRegex(ssl.SSLError, "CERTIFICATE_REQUIRED"):
                    client.fill()


class Looking(Tls):
    def test_secrets_are_written_only_when_asked_by_flag(self):
        path = self.pki.path("keylog")
        self.pki.issue("a", ["a.example"])
        with self.sluice("certificates: [ %s ]" % self.pki.pair("a"), env={"SSLKEYLOGFILE": path}) as sluice:
            self.assertEqual(connects(sluice.address), 200)
        self.assertFalse(os.path.exists(path))
        with self.sluice("certificates: [ %s ]" % self.pki.pair("a"), env={"SLUICE_TLS_KEYLOG": path}) as sluice:
            self.assertEqual(connects(sluice.address), 200)
            with open(path) as file:
                lines = file.read().splitlines()
            self.assertTrue(any(line.startswith("CLIENT_TRAFFIC_SECRET_0 ") for line in lines), lines)
            self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
            eventually(lambda: "secrets" in sluice.stderr(), "the warning")
