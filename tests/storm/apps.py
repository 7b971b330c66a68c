"""The application under its servers: uWSGI, gunicorn's sync and threaded workers, a script with an exact keep-alive.

Each answers the same way (site/deeds.py) and is its own process group. `outages` says from when to when there was
nobody to execute a request: from the order to stop until a new process has loaded the application.
"""
import os, signal, subprocess, time

from ports import eventually, free_port, listens

SITE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "site")
SERVERS = ("uwsgi", "gunicorn", "gthread", "script")


class Application:
    keep_alive = 2  # seconds, of those that have one

    def __init__(self, server, folder, log, host="127.0.0.1", port=None, site="light", workers=4, http=False, args=(), env=None):
        assert server in SERVERS, server
        self.server, self.folder, self.log, self.host = server, folder, log, host
        self.port, self.site, self.http, self.args, self.env = port or free_port(), site, http, list(args), env or {}
        self.workers = {"gthread": 8, "script": 64}.get(server, workers)  # requests it works on at the same time
        self.processes, self.outages = workers, []
        self.process, self.ups, self.up = None, 0, "%s/up.%s.%d" % (folder, host, self.port)

    @property
    def endpoint(self):
        return "%s:%d" % (self.host, self.port)

    @property
    def protocol(self):
        return "uwsgi" if self.server == "uwsgi" and not self.http else "http1"

    def command(self):
        module = "wsgi:application" if self.site == "django" else "light:application"
        if self.server == "uwsgi":
            return ["uwsgi-core", "--plugin", "python3", "--http-socket" if self.http else "--socket", self.endpoint, "--master",
                    "--need-app", "--processes", str(self.processes), "--chdir", SITE, "--module", module, "--disable-logging",
                    "--buffer-size", "8192", "--listen", "100"] + (self.args or ["--die-on-term"])
        if self.server == "script":
            return ["/usr/bin/python3", SITE + "/script.py", str(self.port), str(self.keep_alive)]
        command = ["gunicorn", "--bind", self.endpoint, "--chdir", SITE, module, "--worker-tmp-dir", "/dev/shm",
                   "--log-level", "warning", "--keep-alive", str(self.keep_alive)]
        if self.server == "gthread":
            command += ["--worker-class", "gthread", "--workers", "2", "--threads", "4"]
        else:
            command += ["--workers", str(self.processes)]
        return command + self.args

    # -- its life --

    def launch(self):
        """Starts it and returns at once."""
        self.ups = self.times_up()
        output = open(self.folder + "/app.out", "a")
        env = {**os.environ, "STORM_LOG": self.log, "STORM_UP": self.up, "PYTHONDONTWRITEBYTECODE": "1", "DJANGO_SETTINGS_MODULE": "settings", **self.env}
        self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                        start_new_session=True, env=env, cwd=SITE)
        output.close()
        return self

    def start(self):
        self.launch()
        self.await_up()
        return self

    def await_up(self, seconds=60):
        def is_up():
            if self.process.poll() is not None:
                raise RuntimeError("the application ended:\n" + self.said())
            return self.times_up() > self.ups and listens(self.host, self.port)
        eventually(is_up, "the application", seconds)

    def times_up(self):
        """How many processes have said that they are ready to work, so far."""
        try:
            with open(self.up) as f:
                return sum(1 for _ in f)
        except FileNotFoundError:
            return 0

    def up_since(self):
        """When the first process of this start said so."""
        with open(self.up) as f:
            return int(f.readlines()[self.ups].split()[0]) / 1e9

    def signal(self, number):
        os.kill(self.process.pid, number)

    def wait_end(self, seconds=40):
        self.process.wait(seconds)

    def stop(self, seconds=40):
        """By SIGTERM, to its end."""
        if self.process and self.process.poll() is None:
            self.signal(signal.SIGTERM)
            try:
                self.wait_end(seconds)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self):
        """All of its processes at once; the group is its own."""
        if self.process:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self.process.wait()

    def restart(self, stop, pause=0.0):
        """stop(), a pause, start; writes the outage down."""
        began = time.monotonic()
        stop()
        if pause:
            time.sleep(pause)
        self.start()
        self.outages.append((began, self.up_since()))

    def said(self):
        with open(self.folder + "/app.out", errors="replace") as f:
            return f.read()[-3000:]
