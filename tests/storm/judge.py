"""What became of the requests: the clients' deeds beside the application's file of what it executed.

lost      no whole answer with 200 came
doubled   a request that is not idempotent was executed more than once
broken    an answer with other or fewer bytes, or an answer although nothing executed the request
ghost     executed after its client had left, although it was not yet with the application then
in hand   would be lost or broken, but a process was killed while it worked on it: no proxy may send it again, as it is
          not idempotent or a part of its answer was out. At most as many per kill as the process works on at a time
slow      began to be answered later than its own time, the outages it met and 250 ms
again     idempotent and executed more than once: allowed (RFC 9110 §9.2.2)
"""
import collections, time

from strict import WAY

SLACK = 0.25
Row = collections.namedtuple("Row", "operation app peer requests lost doubled broken ghost in_hand slow again p50 p99 worst outage acts "
                             "seconds notes failed")


class Kill:
    """A process was killed, or told to stop at once. It worked on at most `most` requests. `connections`: it was the
    clients' own server, and what connected after its end was not its."""

    def __init__(self, most, connections=False):
        self.began, self.ended, self.most, self.connections = time.monotonic(), None, most, connections

    def over(self):
        """Its processes are gone."""
        self.ended = time.monotonic()

    def explains(self, deed):
        end = self.ended or self.began + 5
        if self.connections:
            # A client may see late that it is connected, but it knows when it asked for it.
            if (deed.connected if deed.reused else deed.began) > end:
                return False
            if deed.detail == WAY:
                return deed.began <= end + 1.0
        return deed.began <= end + 0.02 and self.began - 0.05 <= deed.ended <= end + 3.0


def read_log(path):
    """-> {name: [(seconds, method)]}"""
    executed = collections.defaultdict(list)
    with open(path) as f:
        for line in f:
            words = line.split()
            if len(words) == 4:
                executed[words[0]].append((int(words[2]) / 1e9, words[1]))
    return executed


def percentile(values, share):
    return values[min(len(values) - 1, int(len(values) * share))] if values else 0.0


def judge(deeds, executed, outages, kills, allow=None, has_ghosts=True):
    """-> a dict of Row's counts, and {reason: count}. `allow(deed)`: what this storm permits to fail."""
    count, reasons, latencies, worst_over = collections.Counter(), collections.Counter(), [], 0.0
    quota = {k: k.most for k in kills}
    for d in sorted(deeds, key=lambda d: d.ended):
        times = executed.get(d.name, ())
        if len(times) > 1:
            count["doubled" if d.unsafe else "again"] += 1
            if d.unsafe:
                reasons["doubled: %s %s" % (d.kind, d.detail or "answered")] += 1
        if d.fate == "left":
            if has_ghosts and times and _was_ghost(d, times, outages):
                count["ghost"] += 1
                reasons["ghost: %s, left %s" % ("POST" if d.unsafe else "GET", d.detail)] += 1
            continue
        count["requests"] += 1
        if d.fate is None and not times:
            count["broken"] += 1
            reasons["answered, not executed"] += 1
            continue
        met = sum(max(0.0, min(d.first, e) - max(d.began, b)) for b, e in outages)
        if d.fate is None:
            took = max(0.0, d.first - d.began - d.own)
            latencies.append(took)
            worst_over = max(worst_over, took - met)
            if took > met + SLACK:
                count["slow"] += 1
            continue
        if allow and allow(d):
            count["allowed"] += 1
            continue
        kill = next((k for k in kills if quota[k] > 0 and k.explains(d)), None)
        if kill:
            quota[kill] -= 1
            count["in_hand"] += 1
            reasons["in hand: " + ("begun" if times else "not begun")] += 1
            continue
        count[d.fate] += 1
        method = "POST" if d.unsafe else "GET"
        reasons["%s %s: %s%s" % (method, d.kind.split("/")[0], d.detail, "" if times else ", not executed")] += 1
    known = {d.name for d in deeds}
    strangers = sum(1 for name in executed if name not in known)
    if strangers:
        count["broken"] += strangers
        reasons["executed, never asked"] += strangers
    latencies.sort()
    return count, reasons, dict(p50=percentile(latencies, 0.5), p99=percentile(latencies, 0.99),
                                worst=latencies[-1] if latencies else 0.0, over=worst_over)


def _was_ghost(deed, times, outages):
    """It left while nobody could execute it, and well before it was: what it had sent was still with the proxy."""
    return any(b + 0.02 < deed.ended < e - 0.05 and deed.began > b + 0.02 and min(t for t, _ in times) >= e - 0.05 for b, e in outages)


def story(deeds, executed, outages, kills, since):
    """Lines that tell when the first requests failed, beside what happened around them."""
    lines = ["%9.3f  outage of %.3f s" % (b - since, e - b) for b, e in outages]
    lines += ["%9.3f  kill, over %.3f s later" % (k.began - since, (k.ended or k.began) - k.began) for k in kills]
    bad = sorted((d for d in deeds if d.fate in ("lost", "broken")), key=lambda d: d.began)
    for d in bad[:40]:
        runs = ", ".join("%.3f" % (t - since) for t, _ in executed.get(d.name, ())) or "never"
        lines.append("%9.3f  %s %s %s%s: %s after %.3f s; connected at %.3f, executed: %s" % (
            d.began - since, d.fate, d.name, "POST " if d.unsafe else "", d.kind, d.detail, d.ended - d.began, d.connected - since, runs))
    return sorted(lines, key=lambda line: float(line.split()[0]))


def milliseconds(seconds):
    return "%.0f" % (seconds * 1000) if seconds >= 0.0095 else "%.1f" % (seconds * 1000)


COLUMNS = [("operation", "operation", 18), ("app", "app", 8), ("peer", "peer", 12), ("requests", "requests", 8), ("lost", "lost", 6), ("doubled", "doubled", 7),
           ("broken", "broken", 6), ("ghost", "ghost", 5), ("in hand", "in_hand", 7), ("slow", "slow", 5), ("p50 ms", "p50", 7), ("p99 ms", "p99", 7),
           ("worst ms", "worst", 8), ("outage ms", "outage", 9), ("times", "acts", 5), ("", "verdict", 4)]


def cells(row):
    values = row._asdict()
    values["verdict"] = "FAIL" if row.failed else "ok"
    for key in ("p50", "p99", "worst", "outage"):
        values[key] = milliseconds(values[key])
    return [str(values[key]) for _, key, _ in COLUMNS]


def line(texts):
    return "| " + " | ".join((t.ljust(w) if n < 3 else t.rjust(w)) for n, (t, (_, _, w)) in enumerate(zip(texts, COLUMNS))) + " |"


def header():
    return [line([title for title, _, _ in COLUMNS]),
            "|" + "|".join(("-" * (w + 2) if n < 3 else "-" * (w + 1) + ":") for n, (_, _, w) in enumerate(COLUMNS)) + "|"]
