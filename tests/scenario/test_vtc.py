"""Behaviours that varnishtest says in fewer lines: vtc/*.vtc script the client and the origin, each on a
unix path (macros ${front} and ${origin}), with sluice between them."""
import glob
import os
import shutil
import subprocess
import unittest

from harness import Scenario, Sluice

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "vtc")


@unittest.skipUnless(shutil.which("varnishtest"), "varnishtest is not installed")
class Vtc(Scenario):
    def play(self, file):
        with Sluice("""
listeners: [ { address: "unix:$dir/front.sock" } ]
routes: [ { path: /, upstream: origin } ]
upstreams: { origin: { endpoints: [ "unix:$dir/origin.sock" ], pool: { idle: 10s } } }
""") as sluice:
            done = subprocess.run(["varnishtest", "-t", "30", "-Dfront=%s/front.sock" % sluice.dir, "-Dorigin=%s/origin.sock" % sluice.dir, file],
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            self.assertEqual(done.returncode, 0, done.stdout[-4000:])


def _add(file):
    name = os.path.basename(file)[:-4]
    setattr(Vtc, "test_" + name, lambda self: self.play(file))


for _file in sorted(glob.glob(FOLDER + "/*.vtc")):
    _add(_file)
