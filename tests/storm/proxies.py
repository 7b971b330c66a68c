"""Who stands between client and application: sluice, or nginx or HAProxy in its place, each as its own docs advise.

  proxy = Sluice(folder, sources, protocol=…); proxy.start(); proxy.reload(); …; proxy.stop()

`sources` are endpoints as text, "127.0.0.1:8000", or one name, "dns://app.test:8000". What a proxy cannot do raises
Unsupported, which is a row of its own in the table.
"""
import json, os, re, shutil, signal, socket, subprocess, time, urllib.request

from ports import eventually, free_port, listens

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BINARY = os.path.abspath(os.environ.get("SLUICE_BINARY", ROOT + "/build/release/sluice"))


class Unsupported(Exception):
    pass


def is_gone(pid):
    try:
        with open("/proc/%d/stat" % pid) as f:
            # Of several threads the first may be dead before the others are.
            return f.read().rpartition(")")[2].split()[0] == "Z" and len(os.listdir("/proc/%d/task" % pid)) <= 1
    except (FileNotFoundError, ProcessLookupError):
        return True


class Proxy:
    name, half_close, protocols, can_tls = "", True, ("http1", "uwsgi"), False

    def __init__(self, folder, sources, protocol="http1", in_flight=0, resolver=None, drain=None, health="", listeners=2, once=False,
                 checked=False, tls=False):
        self.folder = "%s/%s.%d" % (folder, self.name, free_port())
        os.mkdir(self.folder)
        self.sources, self.protocol, self.in_flight, self.resolver = sources, protocol, in_flight, resolver
        self.drain, self.health, self.once, self.checked = drain or "{ min: 100ms, quiet: 100ms, max: 2s, deadline: 20s }", health, once, checked
        self.tls = tls
        if tls and not self.can_tls:
            raise Unsupported("is not set up for TLS here")
        if protocol not in self.protocols:
            raise Unsupported("does not speak " + protocol)
        self.ports = [free_port() for _ in range(listeners)]
        self.opened = [True] + [False] * (listeners - 1)
        self.metrics, self.process, self.generation, self.exit_code = free_port(), None, 0, None

    def spawn(self, command):
        output = open(self.folder + "/output", "a")
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, cwd=self.folder)
        output.close()

    def said(self):
        with open(self.folder + "/output", errors="replace") as f:
            return f.read()

    def await_listening(self):
        def there():
            if self.process.poll() is not None:
                raise RuntimeError("%s ended with %d:\n%s" % (self.name, self.process.returncode, self.said()[-2000:]))
            return all(listens("127.0.0.1", p) for p, o in zip(self.ports, self.opened) if o)
        eventually(there, self.name)

    def main_pid(self):
        return self.process.pid

    def pids(self):
        """The main process and all below it."""
        found = [self.main_pid()]
        for pid in found:
            try:
                for task in os.listdir("/proc/%d/task" % pid):
                    with open("/proc/%d/task/%s/children" % (pid, task)) as f:
                        found += [int(p) for p in f.read().split()]
            except FileNotFoundError:
                pass
        return found

    def stop(self, number=signal.SIGTERM, seconds=30):
        """-> seconds it took"""
        began = time.monotonic()
        if self.process and self.process.poll() is None:
            self.process.send_signal(number)
            try:
                self.exit_code = self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.exit_code = -9
        self.clear()
        return time.monotonic() - began

    def clear(self):
        """Nothing that it started is left behind."""
        if self.process:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self.process.wait()

    def listening(self, numbers):
        """Only these of its listeners, by number."""
        self.opened = [n in numbers for n in range(len(self.ports))]
        self.reload()

    def ledger(self):
        """What it says itself that it did not serve: {reason: count}"""
        return {}

    def balance(self, deeds):
        return []

    def faults(self):
        """What is wrong with it at the end of a storm."""
        return []


class Sluice(Proxy):
    name, can_tls = "sluice", True

    def config(self):
        self.generation += 1
        tls = ", tls: { self_signed: true }" if self.tls else ""
        listeners = "".join("\n  - { address: \"127.0.0.1:%d\", limits: { line: %dKiB }%s }" % (p, 16 + self.generation % 2, tls)
                            for p, o in zip(self.ports, self.opened) if o)
        more = ", max_in_flight: %d" % self.in_flight if self.in_flight else ""
        if self.health:
            more += self.health
        resolver = "resolver: { servers: [ \"%s\" ], min_ttl: 200ms }\n" % self.resolver if self.resolver else ""
        return """workers: 2
spill: { folder: %(folder)s }
admin: { socket: %(folder)s/admin.sock }
metrics: { address: "127.0.0.1:%(metrics)d" }
drain: %(drain)s
access_log: { format: json, path: %(folder)s/access.log }
%(resolver)slisteners:%(listeners)s
routes:
  - { path: /healthz, respond: { health: ready } }
  - { path: /, upstream: app, filters: [ { headers: { response: { set: { X-Generation: "%(generation)d" } } } } ] }
  - { path: /only/%(generation)d, respond: { body: here } }
upstreams:
  app: { protocol: %(protocol)s, endpoints: [ %(endpoints)s ]%(more)s }
""" % dict(vars(self), resolver=resolver, listeners=listeners, more=more, endpoints=", ".join('"%s"' % s for s in self.sources))

    def write(self):
        with open(self.folder + "/sluice.yaml", "w") as f:
            f.write(self.config())

    def cli(self, *args, seconds=60):
        done = subprocess.run([BINARY, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, timeout=seconds)
        return done.returncode, done.stdout

    def start(self):
        self.write()
        code, text = self.cli("check", "-c", self.folder + "/sluice.yaml")
        if code:
            raise Unsupported("sluice check: " + " / ".join(line.split(".yaml", 1)[-1] for line in text.strip().splitlines()[:2]))
        ready = self.folder + "/ready.json"
        self.spawn([BINARY, "run", "--ready-file", ready, "-c", self.folder + "/sluice.yaml"])

        def is_ready():
            if self.process.poll() is not None:
                raise RuntimeError("sluice ended with %d:\n%s" % (self.process.returncode, self.said()[-2000:]))
            return os.path.exists(ready)
        eventually(is_ready, "sluice's ready file")

    def ready(self):
        with open(self.folder + "/ready.json") as f:
            return json.load(f)

    def reload(self):
        self.write()
        code, text = self.cli("reload", "--socket", self.folder + "/admin.sock")
        if code:
            raise RuntimeError("reload: " + text)

    def serving_pid(self):
        """Of the process that serves; the ready file is written anew by each."""
        pid = self.ready().get("serving_pid")
        if not pid or pid == self.process.pid:
            raise Unsupported("no supervisor: the serving process is the main one")
        return pid

    def crash(self):
        pid = self.serving_pid()
        os.kill(pid, signal.SIGKILL)
        return pid

    def await_crash_over(self, before):
        eventually(lambda: self.serving_pid() != before, "another serving process", 10)

    def upgrade(self, number):
        if "upgrade" not in self.cli("--help")[1]:
            raise Unsupported("no `sluice upgrade`")
        before = self.serving_pid()
        if number % 2:
            code, text = self.cli("upgrade", "--socket", self.folder + "/admin.sock")
            if code:
                raise RuntimeError("upgrade: " + text)
        else:
            self.process.send_signal(signal.SIGUSR2)
        eventually(lambda: self.serving_pid() != before, "the new process", 30)

    def samples(self):
        text = urllib.request.urlopen("http://127.0.0.1:%d/metrics" % self.metrics, timeout=5).read().decode()
        return re.findall(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)", text, re.M)

    def ledger(self):
        try:
            dropped = {}
            for name, labels, value in self.samples():
                if name == "sluice_dropped_total" and float(value):
                    reason = dict(re.findall(r'(\w+)="([^"]*)"', labels))["reason"]
                    dropped[reason] = dropped.get(reason, 0) + int(float(value))
            return dropped
        except OSError:
            return {}

    def answers(self):
        kinds = dict.fromkeys(("2", "others"), 0)
        for name, labels, value in self.samples():
            if name == "sluice_http_requests_total":
                code = dict(re.findall(r'(\w+)="([^"]*)"', labels))["code"]
                kinds["2" if code[0] == "2" else "others"] += int(float(value))
        return kinds

    def balance(self, deeds):
        """accepted = answered + listed, as far as clients can tell: -> faults"""
        well = sum(d.fate is None for d in deeds)
        left = sum(d.fate == "left" for d in deeds)

        def balances():
            kinds.update(self.answers())
            # Who left may have been answered, or not even accepted.
            return well <= kinds["2"] <= well + left and sum(kinds.values()) <= len(deeds)
        kinds = {}
        try:
            # A predecessor that still has connections tells each second what it has counted.
            eventually(balances, "balance", 3)
        except TimeoutError:
            return ["its counters do not balance: %d answered well, %d otherwise; clients have %d, %d left, %d in all" % (
                kinds["2"], kinds["others"], well, left, len(deeds))]
        return []

    def faults(self):
        found = []
        if self.exit_code not in (0, None):
            found.append("exit code %d" % self.exit_code)
        if re.search(r"Sanitizer|assertion|Assertion|SUMMARY:", self.said()):
            found.append("a finding in its output: " + self.said()[-300:])
        return found


class Nginx(Proxy):
    name, half_close = "nginx", False  # a half-closed client has left, to nginx
    orphan = False

    def config(self):
        self.generation += 1
        if self.resolver:
            host, port = self.sources[0][6:].rsplit(":", 1)
            target, upstream = "$app:" + port, ""
            names = "resolver %s valid=1s ipv6=off; set $app %s;" % (self.resolver, host)
        else:
            target, names = "app", ""
            upstream = "upstream app { %s %s }" % (" ".join("server %s;" % s for s in self.sources), "keepalive 32;" if self.protocol == "http1" else "")
        way = "include /etc/nginx/uwsgi_params; uwsgi_pass %s;" % target if self.protocol == "uwsgi" else \
            "proxy_pass http://%s; proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_set_header Host $http_host;" % target
        listen = " ".join("listen 127.0.0.1:%d;" % p for p, o in zip(self.ports, self.opened) if o)
        return """daemon off; worker_processes 2; pid %(folder)s/nginx.pid; error_log %(folder)s/output error; user root;
worker_rlimit_nofile 16000;
events { worker_connections 8000; }
http {
  access_log %(folder)s/access.log; keepalive_timeout 75; keepalive_requests 1000000; client_max_body_size 100m;
  client_body_temp_path %(folder)s/b; proxy_temp_path %(folder)s/p; fastcgi_temp_path %(folder)s/f; uwsgi_temp_path %(folder)s/u;
  scgi_temp_path %(folder)s/s;
  %(upstream)s
  server {
    %(listen)s
    location / { add_header X-Generation %(generation)d; %(names)s %(way)s }
  }
}
""" % dict(vars(self), upstream=upstream, names=names, way=way, listen=listen)

    def write(self):
        with open(self.folder + "/nginx.conf", "w") as f:
            f.write(self.config())

    def start(self):
        self.write()
        command = [shutil.which("nginx") or "nginx", "-c", self.folder + "/nginx.conf", "-e", self.folder + "/output"]
        if self.orphan:  # it upgrades only when who started it has gone; in a container, as PID 1, it never does
            command = ["sh", "-c", "(%s & sleep 0.5); exec sleep 100000" % " ".join(command)]
        self.spawn(command)
        self.await_listening()

    def main_pid(self):
        try:
            with open(self.folder + "/nginx.pid") as f:
                return int(f.read())
        except (FileNotFoundError, ValueError):
            return self.process.pid

    def workers(self):
        with open("/proc/%d/task/%d/children" % (self.main_pid(), self.main_pid())) as f:
            return [int(p) for p in f.read().split()]

    def reload(self):
        self.write()
        before = set(self.workers())
        os.kill(self.main_pid(), signal.SIGHUP)
        eventually(lambda: len(set(self.workers()) - before) >= 2, "nginx's new workers", 10)

    def crash(self):
        pid = self.workers()[0]
        os.kill(pid, signal.SIGKILL)
        return pid

    def upgrade(self, number):
        old = self.main_pid()
        os.kill(old, signal.SIGUSR2)
        new = eventually(lambda: self.main_pid() != old and self.main_pid(), "nginx's new master", 10)
        eventually(lambda: len(self.workers()) >= 2, "its workers", 10)
        os.kill(old, signal.SIGWINCH)
        os.kill(old, signal.SIGQUIT)
        eventually(lambda: is_gone(old), "the end of nginx's old master", 20)
        return new

    def stop(self, number=signal.SIGTERM, seconds=30):
        began = time.monotonic()
        pid = self.main_pid()
        try:
            os.kill(pid, number)
            eventually(lambda: is_gone(pid), "nginx's end", seconds)
        except (ProcessLookupError, TimeoutError):
            pass
        self.clear()
        return time.monotonic() - began


class Haproxy(Proxy):
    name, protocols = "haproxy", ("http1",)

    def config(self):
        self.generation += 1
        most = " maxconn %d" % self.in_flight if self.in_flight else ""
        most += " check inter 200ms fall 2 rise 1" if self.checked else ""
        if self.resolver:
            host, port = self.sources[0][6:].rsplit(":", 1)
            names = "resolvers r\n  nameserver n %s\n  hold valid 1s\n  hold obsolete 0s\n  timeout resolve 1s\n  timeout retry 1s\n" % self.resolver
            servers = "  server-template s 4 %s:%s resolvers r init-addr none check inter 500ms%s" % (host, port, most)
        else:
            names, servers = "", "\n".join("  server s%d %s%s" % (n, s, most) for n, s in enumerate(self.sources))
        # uWSGI ends a connection after each answer without saying so before.
        once = "  option http-server-close\n" if self.once else ""
        binds = "\n".join("  bind 127.0.0.1:%d" % p for p, o in zip(self.ports, self.opened) if o)
        return """global
  nbthread 2
  maxconn 5000
  stats socket %(folder)s/haproxy.sock mode 600 level admin expose-fd listeners
defaults
  mode http
  timeout client 75s
  timeout connect 5s
  timeout server 60s
  timeout queue 30s
  retries 3
  option redispatch
  option forwardfor
%(once)s%(names)sfrontend f
%(binds)s
  monitor-uri /healthz
  monitor fail if { nbsrv(b) lt 1 }
  http-response set-header X-Generation %(generation)d
  default_backend b
backend b
%(servers)s
""" % dict(vars(self), names=names, servers=servers, binds=binds, once=once)

    def write(self):
        with open(self.folder + "/haproxy.cfg", "w") as f:
            f.write(self.config())

    def start(self):
        self.write()
        self.spawn(["haproxy", "-W", "-S", self.folder + "/master.sock", "-f", self.folder + "/haproxy.cfg"])
        self.await_listening()

    def workers(self):
        with open("/proc/%d/task/%d/children" % (self.process.pid, self.process.pid)) as f:
            return [int(p) for p in f.read().split()]

    def reload(self):
        self.write()
        before = set(self.workers())
        self.process.send_signal(signal.SIGUSR2)
        eventually(lambda: set(self.workers()) - before, "haproxy's new worker", 10)

    def upgrade(self, number):
        self.reload()  # the master executes its binary again with each reload

    def crash(self):
        raise Unsupported("its master ends with its worker")


PEERS = {"sluice": Sluice, "nginx": Nginx, "haproxy": Haproxy}


def versions():
    found = []
    for command in ([BINARY, "--version"], ["nginx", "-v"], ["haproxy", "-v"], ["uwsgi-core", "--version"], ["gunicorn", "--version"],
                    ["/usr/bin/python3", "-c", "import django; print('Django', django.get_version())"]):
        if shutil.which(command[0]):
            out = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout.splitlines()
            name = "uWSGI " if command[0] == "uwsgi-core" else ""
            found.append(name + re.sub(r" - https.*| \d{4}/.*", "", out[0]).strip() if out else command[0])
    return found
