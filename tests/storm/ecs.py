"""The swap, as ECS does it: tasks behind a balancer that checks their health and keeps pooled connections to them.

A task is an application and a proxy in front of it, each with its own port. The application starts first; at the end
the proxy is stopped first, by SIGTERM, and by SIGKILL after stopTimeout, then the application (dependsOn reversed). The
balancer is HAProxy: health checks on /healthz, connections reused between clients and kept for 60 s, nothing ever sent
twice. Tasks come and go through its runtime API. A deregistered task gets no new request; after the deregistration
delay the balancer's connections to it are closed and the stop signal is sent.
"""
import signal, socket, subprocess, threading, time

import operations
from ports import eventually, free_port, listens
from proxies import PEERS

SLOTS = 8


class Balancer:
    def __init__(self, folder, check):
        self.folder, self.port, self.live = folder, free_port(), "blue"
        self.used = set()
        with open(folder + "/live.map", "w") as f:
            f.write("live blue\n")
        backends = "".join("""backend %s
  option httpchk
  http-check send meth GET uri /healthz ver HTTP/1.1 hdr Host storm.test hdr Connection close
  default-server check inter %dms fall 2 rise 1 pool-purge-delay 60s
  server-template t 1-%d 127.0.0.1:1 disabled
""" % (name, int(check * 1000), SLOTS) for name in ("blue", "green"))
        with open(folder + "/balancer.cfg", "w") as f:
            f.write("""global
  nbthread 1
  maxconn 4000
  stats socket %(folder)s/balancer.sock mode 600 level admin
defaults
  mode http
  timeout client 75s
  timeout connect 5s
  timeout server 60s
  timeout queue 5s
  retries 0
  http-reuse always
frontend f
  bind 127.0.0.1:%(port)d
  use_backend %%[str(live),map(%(folder)s/live.map,blue)]
%(backends)s""" % dict(folder=folder, port=self.port, backends=backends))
        self.output = open(folder + "/balancer.out", "w")
        self.process = subprocess.Popen(["haproxy", "-db", "-f", folder + "/balancer.cfg"], stdin=subprocess.DEVNULL, stdout=self.output,
                                        stderr=self.output, start_new_session=True)
        eventually(lambda: listens("127.0.0.1", self.port), "the balancer")

    def say(self, *commands):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(self.folder + "/balancer.sock")
            s.sendall(("; ".join(commands) + "\n").encode())
            got = b""
            while True:
                piece = s.recv(65536)
                if not piece:
                    return got.decode()
                got += piece

    def register(self, task, group=None):
        """A target that is not known to be well gets nothing until a check says it is."""
        group = group or self.live
        slot = next(n for n in range(1, SLOTS + 1) if (group, n) not in self.used)
        self.used.add((group, slot))
        task.server = "%s/t%d" % (group, slot)
        task.slot = (group, slot)
        for command in ("set server %s addr 127.0.0.1 port %d", "set server %s weight 0", "set server %s state ready",
                        "set server %s health down", "set server %s weight 100%%"):
            self.say(command % ((task.server, task.port) if "addr" in command else task.server))

    def await_healthy(self, *tasks, seconds=90):
        for task in tasks:
            eventually(lambda: self.is_up(task), "the balancer's finding that %s is well" % task.server, seconds, 0.02)

    def is_up(self, task):
        backend, name = task.server.split("/")
        for line in self.say("show stat").splitlines():
            words = line.split(",")
            if words[:2] == [backend, name]:
                return words[17].startswith("UP")
        return False

    def deregister(self, *tasks):
        for task in tasks:
            self.say("set server %s state drain" % task.server)

    def forget(self, *tasks):
        """The end of the deregistration delay: connections that are still open are closed."""
        for task in tasks:
            self.say("set server %s state maint" % task.server)
            self.say("set server %s addr 127.0.0.1 port 1" % task.server)
            self.used.discard(task.slot)

    def switch(self, group):
        self.live = group
        self.say("set map %s/live.map live %s" % (self.folder, group))

    def close(self):
        self.process.kill()
        self.process.wait()
        self.output.close()


class Task:
    def __init__(self, storm, slow_import=0.0):
        self.storm = storm
        self.app = storm.make_app(env={"STORM_IMPORT": str(slow_import)}).launch()
        self.proxy = PEERS[storm.peer](storm.folder, [self.app.endpoint], protocol=self.app.protocol, drain=storm.drain(), checked=True,
                                       once=self.app.server == "uwsgi", listeners=1)
        storm.proxies.append(self.proxy)
        self.proxy.start()
        self.port = self.proxy.ports[0]

    def stop(self):
        """As the agent does it. What had to be killed is a note."""
        storm, number = self.storm, {"quit": signal.SIGQUIT, "usr1": signal.SIGUSR1}.get(self.storm.variant, signal.SIGTERM)
        took = self.proxy.stop(number, storm.stop_timeout())
        if self.proxy.exit_code == -9:
            storm.notes.append("SIGKILL after stopTimeout")
        storm.longest_stop = max(storm.longest_stop, took)
        self.app.stop(storm.stop_timeout())
        storm.retire(self)


class Swap(operations.Storm):
    """What all of them share: a balancer, and `desired` tasks."""
    desired, slow, period, rest, balances = 2, True, 1.0, 0.3, False
    servers, short_acts = ("uwsgi", "gunicorn"), 1
    variants = {"nginx": ("quit",), "haproxy": ("usr1",)}
    longest_stop = 0.0

    @property
    def site(self):
        return "light" if self.options.short else "django"

    def drain(self):
        return "{ min: 1s, quiet: 500ms, max: 3s, deadline: 8s }" if self.options.short else "{ min: 5s, quiet: 3s, max: 20s, deadline: 28s }"

    def delay(self):
        return 0.5 if self.options.short else 5.0

    def stop_timeout(self):
        return 10 if self.options.short else 30

    def set_up(self):
        self.balancer = Balancer(self.folder, 0.2 if self.options.short else 1.0)
        self.tasks = self.start_tasks(self.desired)

    def targets(self):
        return [("127.0.0.1", self.balancer.port)]

    def start_tasks(self, count, group=None, **more):
        tasks = [Task(self, **more) for _ in range(count)]
        for task in tasks:
            self.balancer.register(task, group)
        self.balancer.await_healthy(*tasks)
        return tasks

    def stop_tasks(self, tasks):
        threads = [threading.Thread(target=t.stop) for t in tasks]
        for t in threads:
            t.start()
        for t in threads:
            t.join()

    def retire(self, task):
        self.notes += task.proxy.faults() if self.peer == "sluice" else []
        self.bad = self.bad or bool(self.peer == "sluice" and task.proxy.faults())
        self.proxies.remove(task.proxy)
        self.apps.remove(task.app)

    def take_out(self, tasks):
        self.balancer.deregister(*tasks)
        time.sleep(self.delay())
        self.balancer.forget(*tasks)
        self.stop_tasks(tasks)

    def tear_down(self):
        super().tear_down()
        self.balancer.close()

    def run(self):
        try:
            return super().run()
        finally:
            if hasattr(self, "balancer"):
                self.balancer.close()

    def row(self, deeds, ledger, seconds):
        self.notes.append("a task's proxy took %.1f s to stop at most" % self.longest_stop)
        return super().row(deeds, ledger, seconds)


class Rolling(Swap):
    name, title = "ecs_rolling", "rolling deploy: two new tasks, then the two old ones are deregistered and stopped"

    def act(self):
        old, self.tasks = self.tasks, self.tasks + self.start_tasks(2)
        self.take_out(old)
        self.tasks = self.tasks[len(old):]


class BlueGreen(Swap):
    name, title = "ecs_blue_green", "blue/green deploy: another target group with two tasks, all traffic is switched, the old ones are stopped"

    def act(self):
        other = "green" if self.balancer.live == "blue" else "blue"
        new = self.start_tasks(2, other)
        old, self.tasks = self.tasks, new
        self.balancer.switch(other)
        time.sleep(self.delay())
        self.balancer.forget(*old)
        self.stop_tasks(old)


class ScaleIn(Swap):
    name, title = "ecs_scale_in", "one of three tasks is deregistered and stopped"
    desired = 3

    def act(self):
        if len(self.tasks) < self.desired:
            self.tasks += self.start_tasks(1)
        self.take_out([self.tasks.pop(0)])


class ScaleOut(Swap):
    name, title = "ecs_scale_out", "another task comes whose application takes seconds to start"
    desired = 1

    def act(self):
        if len(self.tasks) > 1:
            self.take_out([self.tasks.pop()])
        began = time.monotonic()
        self.tasks += self.start_tasks(1, slow_import=2.0 if self.options.short else 5.0)
        self.notes[:] = ["healthy %.1f s after its start" % (time.monotonic() - began)]
        time.sleep(0.5)


class SignalFirst(Swap):
    name, title = "ecs_sigterm", "a task is told to stop while the balancer still sends to it (Spot, StopTask); failing checks take it out"
    desired = 3

    def act(self):
        if len(self.tasks) < self.desired:
            self.tasks += self.start_tasks(1)
        task = self.tasks.pop(0)
        thread = threading.Thread(target=task.stop)
        thread.start()
        eventually(lambda: not self.balancer.is_up(task), "the balancer's finding that the task is not well", 60, 0.02)
        self.balancer.deregister(task)
        time.sleep(self.delay())
        self.balancer.forget(task)
        thread.join()


ALL = [Rolling, BlueGreen, ScaleIn, ScaleOut, SignalFirst]
