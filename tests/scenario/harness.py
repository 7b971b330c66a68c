"""Sluice: the real binary under test, on free ports, in a folder of its own.

  with Sluice(config) as sluice: ...      started, accepting; stopped by SIGTERM at the end, exit code 0
  Sluice.before(origin, ...)              the usual case: one listener, one route, one upstream

A configuration is the text of the YAML file; `$dir` is the folder. Top-level keys that it leaves out
get the values of BASE: free ports, one worker, a drain of milliseconds.
"""
import glob, json, os, re, shutil, signal, string, subprocess, tempfile, time, unittest

from wire import PATIENCE, Client, eventually

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BINARY = os.path.abspath(os.environ.get("SLUICE_BINARY", ROOT + "/build/release/sluice"))
SANITIZED = any(p in BINARY for p in ("/asan/", "/tsan/"))  # slower, and larger in memory

BASE = {
    "workers": "workers: 1",
    "spill": "spill: { folder: $dir }",
    "admin": "admin: { socket: $dir/admin.sock }",
    "metrics": "metrics: { address: 127.0.0.1:0 }",
    "drain": "drain: { min: 10ms, quiet: 10ms, max: 1s, deadline: 5s }",
    "access_log": "access_log: { format: json, path: $dir/access.log }",
    "listeners": "listeners: [ { address: 127.0.0.1:0 } ]",
}


def run_cli(*args, env=None, seconds=PATIENCE):
    """sluice ARGS to its end -> (exit code, stdout, stderr)"""
    done = subprocess.run([BINARY, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, timeout=seconds, env={**os.environ, **(env or {})})
    return done.returncode, done.stdout, done.stderr


def address_of(text):
    if text.startswith("unix:"):
        return text[5:]
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


class Sluice:
    def __init__(self, config, *, args=(), env=None, limits=(), wrap=(), pass_fds=(), expect_exit=0, **names):
        self.dir = tempfile.mkdtemp(prefix="sluice.")
        self.names = dict(names, dir=self.dir)
        self.config_file = self.dir + "/sluice.yaml"
        self.args, self.env, self.limits, self.expect_exit = args, env, limits, expect_exit
        self.wrap, self.pass_fds = wrap, pass_fds  # what executes sluice in its own place, and what it is given
        self.clients, self.process, self.exit_code = [], None, None
        if config is not None:
            self.write_config(config)

    @classmethod
    def before(cls, *origins, listener="", route="", upstream="", top="", protocol="http1", **more):
        """Before these origins. Each text is what stands inside the map of that name."""
        glue = lambda text: ", " + text if text else ""
        return cls("""
listeners:
  - { address: 127.0.0.1:0%s }
routes:
  - { path: /%s, upstream: app }
upstreams:
  app: { protocol: %s, endpoints: [ %s ]%s }
%s""" % (glue(listener), glue(route), protocol, ", ".join('"%s"' % getattr(o, "endpoint", o) for o in origins), glue(upstream), top), **more)

    def write_config(self, config):
        own = set(re.findall(r"^(\w+):", config, re.M))
        text = "\n".join(v for k, v in BASE.items() if k not in own) + "\n" + config
        with open(self.config_file, "w") as f:
            f.write(string.Template(text).safe_substitute(self.names))

    # -- its life --

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self._clear(failed=True)
            raise

    def __exit__(self, kind, *_):
        try:
            for client in self.clients:
                client.close()
            if kind is None and self.exit_code is None:
                self.stop(self.expect_exit)
        except BaseException:
            self._clear(failed=True)
            raise
        self._clear(failed=kind is not None)

    def start(self):
        ready = self.dir + "/ready.json"
        command = [BINARY, "run", "--ready-file", ready]
        command += list(self.args) or ["-c", self.config_file]
        if self.limits:  # ("nofile", 64): the program itself is not changed, only what it may have
            command = ["prlimit", "--%s=%s" % self.limits] + command
        command = list(self.wrap) + command
        self.stderr_file = open(self.dir + "/stderr", "w")
        self.stdout_file = open(self.dir + "/stdout", "w")
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.stdout_file, stderr=self.stderr_file,
                                        start_new_session=True, env={**os.environ, **(self.env or {})}, cwd=self.dir,
                                        pass_fds=self.pass_fds)

        def is_ready():
            if os.path.exists(ready):
                return True
            assert self.process.poll() is None, "sluice ended with exit code %d:\n%s" % (self.process.returncode, self.stderr())
        eventually(is_ready, "the ready file")
        with open(ready) as f:
            self.ready = json.load(f)
        self.listeners = [address_of(l["address"]) for l in self.ready["listeners"]]
        self.address = self.listeners[0] if self.listeners else None
        self.metrics_address = address_of(self.ready["metrics"]) if self.ready.get("metrics") else None
        self.admin = self.ready.get("admin")
        self.pid = self.ready["pid"]
        return self

    def serving_pid(self):
        """Of the process that serves now: another one after a crash or an upgrade."""
        with open(self.dir + "/ready.json") as f:
            return json.load(f)["serving_pid"]

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, seconds=PATIENCE):
        """-> exit code, when it ends by itself"""
        try:
            self.exit_code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError("sluice still runs after %g s" % seconds) from None
        return self.exit_code

    def stop(self, expect=0):
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        code = self.wait()
        assert code == expect, "exit code %d instead of %d:\n%s" % (code, expect, self.stderr())

    def _clear(self, failed):
        if self.process:
            if failed:
                print("--- sluice's stderr (%s)\n%s---" % (self.dir, self.stderr()[-6000:]))
            try:
                os.killpg(self.process.pid, signal.SIGKILL)  # its own session: only what it started
            except ProcessLookupError:
                pass
            self.process.wait()
            self.stderr_file.close()
            self.stdout_file.close()
        shutil.rmtree(self.dir, ignore_errors=True)

    # -- talking to it --

    def client(self, listener=0, **more):
        client = Client(self.listeners[listener], **more)
        self.clients.append(client)
        return client

    def get(self, target="/", method="GET", **more):
        """One request on a connection of its own."""
        with self.client() as client:
            return client.get(target, method, **more)

    def cli(self, *args):
        return run_cli(*args, "--socket", self.admin)

    # -- looking at it --

    def stderr(self):
        with open(self.dir + "/stderr", errors="replace") as f:
            return f.read()

    def log(self):
        """The access log's entries so far."""
        try:
            with open(self.dir + "/access.log") as f:
                return [json.loads(line) for line in f if line.endswith("\n")]
        except FileNotFoundError:
            return []

    def await_log(self, **fields):
        """The first entry with these values."""
        def find():
            for entry in self.log():
                if all(entry.get(k) == v for k, v in fields.items()):
                    return entry
        try:
            return eventually(find, "a log entry")
        except AssertionError:
            raise AssertionError("no log entry with %r in %r" % (fields, self.log()[-5:])) from None

    def http_metrics(self, path="/metrics"):
        with Client(self.metrics_address) as client:
            return client.get(path)

    def samples(self):
        """[(name, labels, value)]"""
        out = []
        for line in self.http_metrics().body.decode().splitlines():
            m = re.fullmatch(r'([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)(?: \d+)?', line)
            if m:
                labels = dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', m[2] or ""))
                out.append((m[1], labels, float(m[3])))
        return out

    def metric(self, name, **labels):
        """The sum of all samples of that name which carry these labels; 0 when there are none."""
        return sum(v for n, l, v in self.samples() if n == name and all(l.get(k) == w for k, w in labels.items()))

    def await_metric(self, name, value, **labels):
        last = []

        def same():
            last[:] = [self.metric(name, **labels)]
            return last[0] == value
        try:
            eventually(same, name)
        except AssertionError:
            raise AssertionError("%s%r is %r, not %r" % (name, labels, last, value)) from None

    def await_reason(self, status, **fields):
        """The log entry with this status names a reason, and dropped_total counts it."""
        entry = self.await_log(status=status, **fields)
        assert entry.get("reason"), "no reason in %r" % entry
        eventually(lambda: self.metric("sluice_dropped_total", reason=entry["reason"]) >= 1,
                   'sluice_dropped_total{reason="%s"}' % entry["reason"])
        return entry

    def pids(self):
        found = [self.process.pid]
        for pid in found:
            for children in glob.glob("/proc/%d/task/*/children" % pid):
                try:
                    with open(children) as f:
                        found += [int(p) for p in f.read().split()]
                except (FileNotFoundError, ProcessLookupError):
                    pass  # it has ended meanwhile
        return found

    def cpu_seconds(self):
        total = 0
        for pid in self.pids():
            with open("/proc/%d/stat" % pid) as f:
                words = f.read().rpartition(")")[2].split()
            total += int(words[11]) + int(words[12])
        return total / os.sysconf("SC_CLK_TCK")

    def rss(self):
        """Bytes resident; what supervisor and serving process share counts once."""
        total = 0
        for pid in self.pids():
            with open("/proc/%d/smaps_rollup" % pid) as f:
                total += int(re.search(r"^Pss:\s+(\d+) kB", f.read(), re.M)[1]) * 1024
        return total

    def open_files(self):
        return sum(len(os.listdir("/proc/%d/fd" % pid)) for pid in self.pids())


class Scenario(unittest.TestCase):
    maxDiff = 2000

    def assertWithin(self, value, least, most):
        self.assertTrue(least <= value <= most, "%r is not between %r and %r" % (value, least, most))


class Stopwatch:
    def __init__(self):
        self.began = time.monotonic()

    @property
    def seconds(self):
        return time.monotonic() - self.began
