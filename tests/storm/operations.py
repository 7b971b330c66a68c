"""The operations: what is done to proxy and application while the clients go on asking.

Each is a Storm: set_up() starts everything, act() does it once, again and again, tear_down() ends it. A storm knows its
outages (when nobody could have answered) and its kills (when a process was stopped with requests in its hands).
"""
import os, random, shutil, signal, subprocess, sys, tempfile, time

from apps import Application
from judge import Kill, Row, judge, read_log, story
from names import Names
from ports import eventually, free_port, listens
from proxies import PEERS, Unsupported, is_gone
from strict import KINDS, Load


class Storm:
    name, title = "", ""
    servers = ("uwsgi", "gunicorn", "gthread")  # which it makes sense for; the first is the default
    peers = ("sluice", "nginx", "haproxy")
    variants = {}          # more rows of a peer: {"nginx": ("quit",)}
    period, rest = 1.0, 0.0  # seconds from act to act; rest: least time after one
    short_acts, slow = 2, False  # slow: 10 000 requests are enough
    site = "light"
    is_limited = False     # one request at a time per application worker, as our docs advise for the operation
    balances = True        # one process's counters have all of the storm
    has_ghosts = True      # what the application's own backlog keeps over the outage is not the proxy's
    app_args, connections, think, slow_seconds = {}, 64, 0.012, 0.0
    mix, pauses, wave = None, (1.0, 2.0), 0.0

    def __init__(self, server, peer, options, variant=""):
        self.server, self.peer, self.options, self.variant = server, peer, options, variant
        self.outages, self.kills, self.acts, self.notes = [], [], 0, []
        self.folder = tempfile.mkdtemp(prefix="storm.")
        self.log = self.folder + "/executed"
        open(self.log, "w").close()
        self.apps, self.proxies, self.load, self.unbalanced, self.bad = [], [], None, [], False

    # -- what it is made of --

    def make_app(self, **more):
        more.setdefault("args", self.app_args.get(self.server, ()))
        app = Application(self.server, self.folder, self.log, site=self.options.site or self.site, http=self.peer == "haproxy", **more)
        self.apps.append(app)
        return app

    def make_proxy(self, sources, peer=None, **more):
        app = self.apps[0]
        if self.is_limited and not self.options.unlimited:
            more.setdefault("in_flight", app.workers)
        proxy = PEERS[peer or self.peer](self.folder, sources, protocol=app.protocol, once=app.server == "uwsgi", tls=self.options.tls, **more)
        self.proxies.append(proxy)
        return proxy

    def set_up(self):
        self.app = self.make_app().start()
        self.proxy = self.make_proxy([self.app.endpoint])
        self.proxy.start()

    def targets(self):
        return [("127.0.0.1", self.proxy.ports[0])]

    def make_load(self):
        mix = dict(self.mix or KINDS)
        if not all(p.half_close for p in self.proxies) and self.name != "half_close":
            mix.pop("half", None)
        connections = self.connections // 2 if self.options.short else self.connections
        return Load(self.targets(), self.folder, connections=connections, processes=1 if self.options.short else 2, mix=mix,
                    pauses=self.pauses, think=self.think, slow=self.slow_seconds, stream=self.server in ("gunicorn", "gthread"), wave=self.wave,
                    tls=self.options.tls)

    def act(self):
        pass

    def tear_down(self):
        for proxy in self.proxies:
            proxy.stop()
        for app in self.apps:
            app.stop(10)

    # -- its course --

    def run(self):
        """-> Row"""
        began, deeds = time.monotonic(), []
        try:
            self.set_up()
            self.load = self.make_load()
            self.load.start()
            self.began = time.monotonic()
            self.course()
            deeds = self.load.finish()
            self.ended = time.monotonic()
            ledger = self.proxies[0].ledger() if self.proxies else {}
            if self.balances and self.proxies:
                self.unbalanced = self.proxies[0].balance(deeds)
            self.tear_down()
            return self.row(deeds, ledger, time.monotonic() - began)
        except Unsupported as e:
            return self.failure("not supported: %s" % e, began)
        except Exception as e:
            said = "".join("\n" + p.said()[-1500:] for p in self.proxies if os.path.exists(p.folder + "/output"))
            print("%s %s %s: %s: %s%s" % (self.name, self.server, self.peer, type(e).__name__, e, said), file=sys.stderr)
            return self.failure("%s: %s" % (type(e).__name__, str(e).strip().splitlines()[0] if str(e).strip() else ""), began)
        finally:
            if self.load:
                self.load.kill()
            for each in self.proxies:
                each.clear()
            for each in self.apps:
                each.kill()
            if os.environ.get("STORM_KEEP"):
                print("kept: " + self.folder, file=sys.stderr)
            else:
                shutil.rmtree(self.folder, ignore_errors=True)

    def course(self):
        options = self.options
        wanted = options.requests or (1500 if options.short else 10000 if self.slow else 50000)
        if self.peer != "sluice" and not options.requests:
            wanted //= 5  # what the others lose shows soon
        seconds = options.seconds or (3.0 if options.short else 150 if self.slow else 240)
        least = self.short_acts if options.short else 3
        time.sleep(0.3)
        next_act = time.monotonic()
        while True:
            now = time.monotonic()
            enough = self.load.count() >= wanted and self.acts >= least
            # On a machine that is busy otherwise a row takes longer rather than to say little.
            some = self.load.count() >= wanted / 3 or now - self.began > 3 * seconds
            if enough or (now - self.began > seconds and self.acts >= least and some) or now - self.began > 3 * seconds + 60:
                break
            if not self.load.alive():
                raise RuntimeError("a client process died")
            if now >= next_act and type(self).act is not Storm.act:
                self.act()
                self.acts += 1
                next_act = max(next_act + self.period, time.monotonic() + self.rest)
            elif type(self).act is Storm.act:
                self.acts = least
            time.sleep(0.02)
        time.sleep(0.3)

    def allow(self, deed):
        return False

    def row(self, deeds, ledger, seconds):
        executed = read_log(self.log)
        if self.options.verbose:
            print("\n".join(story(deeds, executed, self.all_outages(), self.kills, self.began)), file=sys.stderr)
        count, reasons, late = judge(deeds, executed, self.all_outages(), self.kills, self.allow, self.has_ghosts)
        notes = ["%d x %s" % (n, reason) for reason, n in reasons.most_common(5)]
        if ledger:
            notes.append("its own ledger: " + ", ".join("%s %d" % kv for kv in sorted(ledger.items())))
        faults = self.unbalanced + [fault for proxy in self.proxies for fault in proxy.faults()]
        failed = bool(count["lost"] or count["doubled"] or count["broken"] or count["ghost"] or (faults and self.peer == "sluice")
                      or (self.options.strict and count["slow"]) or not count["requests"] or self.bad)
        outage = max((e - b for b, e in self.all_outages()), default=0.0)
        return Row(self.name, self.server, self.label(), count["requests"], count["lost"], count["doubled"], count["broken"], count["ghost"],
                   count["in_hand"], count["slow"], count["again"], late["p50"], late["p99"], late["worst"], outage, self.acts, seconds,
                   notes + faults + self.notes, failed)

    def label(self):
        return self.peer + ("-" + self.variant if self.variant else "")

    def failure(self, note, began):
        return Row(self.name, self.server, self.label(), 0, 0, 0, 0, 0, 0, 0, 0, 0.0, 0.0, 0.0, 0.0, self.acts, time.monotonic() - began, [note], True)

    def all_outages(self):
        return self.outages + [o for app in self.apps for o in app.outages]


class Steady(Storm):
    name, title = "steady", "nothing happens: what the others are compared with"


class HalfClose(Storm):
    name, title = "half_close", "nothing happens, but every client half-closes after its request"
    mix = {"half": 10}


class IdleRace(Storm):
    name, title = "idle_race", "requests come when the connections behind the proxy are about as old as the application's keep-alive"
    servers, connections, slow = ("gthread", "script"), 256, True
    mix, wave, short_acts = {"pauser": 1}, 1.0, 0

    def set_up(self):
        self.app = self.make_app()
        self.app.keep_alive = 1
        self.app.start()
        self.proxy = self.make_proxy([self.app.endpoint])
        self.proxy.start()


class Reload(Storm):
    name, title = "reload", "the configuration is read again, something in it changed each time"
    period, short_acts = 1.0, 3

    def act(self):
        self.proxy.reload()


class Listener(Storm):
    name, title = "listener", "a second listener is added, used, and removed"
    period, rest = 1.5, 0.5

    def targets(self):
        return [("127.0.0.1", p) for p in self.proxy.ports]

    def make_load(self):
        load = super().make_load()
        load.open(1, False)
        return load

    def act(self):
        try:
            self.proxy.listening({0, 1})
        except RuntimeError as e:
            # It is still being emptied, and ought to come back all the same.
            self.bad = True
            if not self.notes:
                self.notes.append(str(e).strip().splitlines()[0])
            return
        self.load.open(1)
        time.sleep(0.7)
        self.load.open(1, False)  # nobody is sent there any more, but who is there stays
        time.sleep(0.1)
        self.proxy.listening({0})


class Restart(Storm):
    name, title = "restart", "the only application is stopped gracefully, is away for half a second, and starts"
    period, rest, is_limited = 3.0, 1.0, True
    app_args = {"uwsgi": ("--hook-master-start", "unix_signal:15 gracefully_kill_them_all")}

    def act(self):
        self.app.restart(self.app.stop, pause=0.5)


class Killed(Storm):
    name, title = "kill", "the only application is SIGKILLed, all of its processes at once, and starts again"
    period, rest, is_limited = 2.0, 0.7, True

    def act(self):
        def kill():
            self.kills.append(Kill(self.app.workers))
            self.app.kill()
            self.kills[-1].over()
        self.app.restart(kill, pause=random.uniform(0, 0.3))


class DieOnTerm(Storm):
    name, title = "die_on_term", "uWSGI with die-on-term is stopped by SIGTERM, which ends its workers at once, and starts again"
    servers, period, rest, is_limited = ("uwsgi",), 2.0, 0.7, True

    def act(self):
        def stop():
            self.kills.append(Kill(self.app.workers))
            self.app.stop()
            self.kills[-1].over()
        self.app.restart(stop)


class GunicornHup(Storm):
    name, title = "gunicorn_hup", "gunicorn gets SIGHUP: new workers, the old ones leave when their request is answered"
    servers, period, rest = ("gunicorn", "gthread"), 1.5, 0.5

    def act(self):
        before = self.app.times_up()
        self.app.signal(signal.SIGHUP)
        eventually(lambda: self.app.times_up() > before, "new workers")


class GunicornTerm(Storm):
    name, title = "gunicorn_term", "gunicorn gets SIGTERM while slow requests run; another one starts as soon as the port is free"
    servers, period, rest, is_limited = ("gunicorn", "gthread"), 3.0, 1.5, True
    slow_seconds = 0.6

    def act(self):
        began, old = time.monotonic(), self.app  # its listener goes at once, its slow requests go on
        old.signal(signal.SIGTERM)
        eventually(lambda: not listens(old.host, old.port), "the listener to go")
        self.app = self.make_app(port=old.port)
        self.app.start()
        self.outages.append((began, self.app.up_since()))
        old.wait_end()
        self.apps.remove(old)


class MaxRequests(Storm):
    name, title = "max_requests", "each of gunicorn's workers is replaced after 50 requests"
    servers = ("gunicorn", "gthread")
    app_args = {"gunicorn": ("--max-requests", "50"), "gthread": ("--max-requests", "50")}
    short_acts, has_ghosts = 0, False  # its socket stays, and the kernel keeps what comes

    def row(self, deeds, ledger, seconds):
        self.outages += self.pauses_of_all()
        return super().row(deeds, ledger, seconds)

    def pauses_of_all(self):
        """When every worker had begun its last request and none of the next was ready: they come to it together."""
        ends, changes = {}, []
        with open(self.log) as f:
            for words in map(str.split, f):
                ends[words[3]] = max(ends.get(words[3], 0), int(words[2]) / 1e9)
        with open(self.app.up) as f:
            for at, pid in map(str.split, f):
                changes += [(int(at) / 1e9, 1)] + ([(ends[pid], -1)] if pid in ends else [])
        there, since, pauses = 0, None, []
        for at, by in sorted(changes):
            if there == 1 and by == -1:
                since = at
            elif there == 0 and since is not None:
                pauses.append((since, at))
            there += by
        return pauses


def touch(path):
    """uWSGI looks at whole seconds, and whether they grew."""
    later = max(time.time(), os.stat(path).st_mtime) + 2
    os.utime(path, (later, later))


class UwsgiReload(Storm):
    name, title = "uwsgi_reload", "uWSGI reloads gracefully: by SIGHUP, and by touching its file"
    servers, period, rest, has_ghosts = ("uwsgi",), 2.0, 1.0, False

    def set_up(self):
        self.touched = self.folder + "/touch"
        open(self.touched, "w").close()
        self.app_args = {"uwsgi": ("--die-on-term", "--touch-reload", self.touched)}
        super().set_up()

    def act(self):
        before, began = self.app.times_up(), time.monotonic()
        if self.acts % 2:
            touch(self.touched)
        else:
            self.app.signal(signal.SIGHUP)
        self.app.ups = before
        eventually(lambda: self.app.times_up() > before, "the new uWSGI")
        self.outages.append((began, self.app.up_since()))  # its socket stays, but nobody reads


class UwsgiChain(Storm):
    name, title = "uwsgi_chain", "uWSGI's workers are replaced one after the other (touch-chain-reload)"
    servers, period, rest, short_acts, slow = ("uwsgi",), 5.0, 2.5, 1, True

    def set_up(self):
        self.touched = self.folder + "/touch"
        open(self.touched, "w").close()
        self.app_args = {"uwsgi": ("--die-on-term", "--lazy-apps", "--touch-chain-reload", self.touched)}
        super().set_up()

    def act(self):
        before = self.app.times_up()
        touch(self.touched)
        eventually(lambda: self.app.times_up() >= before + self.app.processes, "all new workers")


class Dns(Storm):
    name, title = "dns", "an endpoint leaves the name, is stopped when that is known, starts again and comes back"
    period, rest, slow = 5.0, 1.0, True
    short_acts = 1

    def set_up(self):
        self.app = self.make_app().start()
        self.second = self.make_app(host="127.0.0.2", port=self.app.port).start()
        self.dns = Names("app.test", ["127.0.0.1", "127.0.0.2"])
        self.proxy = self.make_proxy(["dns://app.test:%d" % self.app.port], resolver=self.dns.address)
        self.proxy.start()
        time.sleep(1.2)

    def act(self):
        self.dns.addresses = ["127.0.0.1"]
        time.sleep(self.dns.ttl + 1.2)
        self.second.stop()
        time.sleep(0.3)
        self.second.start()
        self.dns.addresses = ["127.0.0.1", "127.0.0.2"]
        time.sleep(self.dns.ttl + 0.5)

    def tear_down(self):
        super().tear_down()
        self.dns.close()


class Crash(Storm):
    name, title = "crash", "the process that serves is SIGKILLed: only what it had in hand may be lost"
    period, rest, peers, balances = 2.0, 1.0, ("sluice", "nginx"), False

    def act(self):
        before = self.proxy.serving_pid() if self.peer == "sluice" else 0
        # Everything that is on a connection of the dead process; what comes after it is not.
        self.kills.append(Kill(1 << 30, connections=True))
        victim = self.proxy.crash()
        eventually(lambda: is_gone(victim), "the end of the killed process", step=0.001)
        self.kills[-1].over()
        if before:
            self.proxy.await_crash_over(before)

    def row(self, deeds, ledger, seconds):
        row = super().row(deeds, ledger, seconds)
        # Each is in its own books: as a request, or as a connection on which one may have come.
        booked = ledger.get("crash", 0) + ledger.get("crash_waiting", 0) if self.peer == "sluice" else self.acts * self.connections
        return row._replace(failed=row.failed or row.in_hand > booked)


class Upgrade(Storm):
    name, title = "upgrade", "the binary is replaced by another one while it runs"
    period, rest = 2.0, 1.0

    def make_proxy(self, sources, **more):
        proxy = super().make_proxy(sources, **more)
        proxy.orphan = True
        return proxy

    def set_up(self):
        super().set_up()
        time.sleep(0.6 if self.peer == "nginx" else 0)

    def act(self):
        self.proxy.upgrade(self.acts)


class Stop(Storm):
    name, title = "sigterm", "one of two proxies is told to end while clients are with it; half a second later nobody is sent there"
    period, rest, slow, balances = 4.0, 0.5, True, False
    variants = {"nginx": ("quit",), "haproxy": ("usr1",)}
    drain = "{ min: 800ms, quiet: 300ms, max: 3s, deadline: 20s }"

    def set_up(self):
        self.app = self.make_app().start()
        self.proxy = self.make_proxy([self.app.endpoint], drain=self.drain)
        self.proxy.start()
        self.other = self.make_proxy([self.app.endpoint], drain=self.drain)
        self.other.start()

    def targets(self):
        return [("127.0.0.1", self.proxy.ports[0]), ("127.0.0.1", self.other.ports[0])]

    def act(self):
        number = {"quit": signal.SIGQUIT, "usr1": signal.SIGUSR1}.get(self.variant, signal.SIGTERM)
        victim, target = (self.proxy, 0) if self.acts % 2 == 0 else (self.other, 1)
        os.kill(victim.main_pid(), number)
        time.sleep(0.5)
        self.load.open(target, False)
        if self.peer != "nginx" or not self.variant:
            try:
                victim.process.wait(25)
            except subprocess.TimeoutExpired:
                self.notes.append("did not end within 25 s")
        else:
            eventually(lambda: victim.process.poll() is not None, "nginx's end", 30)
        victim.exit_code = victim.process.returncode
        self.notes += [f for f in victim.faults() if self.peer == "sluice"]
        victim.clear()
        if os.path.exists(victim.folder + "/ready.json"):
            os.remove(victim.folder + "/ready.json")
        victim.exit_code = None
        victim.start()
        self.load.open(target)


ALL = [Steady, HalfClose, IdleRace, Reload, Listener, Restart, Killed, DieOnTerm, GunicornHup, GunicornTerm, MaxRequests, UwsgiReload, UwsgiChain,
       Dns, Crash, Upgrade, Stop]
