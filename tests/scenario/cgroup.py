"""A memory cgroup of our own, where root may make one (v2, or v1): what runs in it may have so many bytes.

  with Cgroup(64 << 20) as group:
      Sluice(..., wrap=group.wrap)
"""
import os, tempfile, time


def _groups():
    """Folders in which a memory group may be made, the likeliest first."""
    with open("/proc/self/cgroup") as f:
        for line in f:
            _, controllers, path = line.strip().split(":", 2)
            if "memory" in controllers.split(","):
                yield "/sys/fs/cgroup/memory" + path, "memory.limit_in_bytes"
            if not controllers:
                yield "/sys/fs/cgroup" + path, "memory.max"
                yield "/sys/fs/cgroup/unified" + path, "memory.max"


class Cgroup:
    def __init__(self, limit):
        self.limit, self.folder = limit, None

    def __enter__(self):
        for parent, key in _groups():
            folder = None
            try:
                folder = tempfile.mkdtemp(prefix="sluice-test-", dir=parent)
                with open(os.path.join(folder, key), "w") as f:
                    f.write(str(self.limit))
                self.folder = folder
                return self
            except OSError:  # not root, or the controller is not ours to give
                if folder:
                    os.rmdir(folder)
        return self

    def __exit__(self, *_):
        end = time.monotonic() + 10
        while self.folder:
            try:
                return os.rmdir(self.folder)
            except OSError:  # its last process is being reaped
                if time.monotonic() > end:
                    raise
                time.sleep(0.01)

    @property
    def wrap(self):
        """What executes sluice inside; without a group as it is."""
        return ["sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', self.folder] if self.folder else []

    def _read(self, *names):
        for name in names:
            try:
                with open(os.path.join(self.folder, name)) as f:
                    return f.read()
            except OSError:
                pass
        return ""

    def kills(self):
        """How often the kernel killed for want of memory."""
        text = self._read("memory.events", "memory.oom_control")
        return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("oom_kill "))
