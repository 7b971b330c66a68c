"""Static files. Paths, conditionals and ranges in bulk are the corpus's (tests/corpus/static.jsonl)."""
import gzip
import os
import time

from harness import Scenario, Sluice
from wire import Origin, answer


class Files(Scenario):
    def sluice(self, files, static="", more="", **names):
        sluice = Sluice("routes:\n  - { path: /static/, static: { root: $dir/files%s } }\n%s" % (", " + static if static else "", more), **names)
        for name, content in files.items():
            path = sluice.dir + "/files/" + name
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as f:
                f.write(content)
        return sluice

    def test_the_prefix_is_stripped(self):
        with self.sluice({"css/site.css": b"body {}", "index.html": b"<p>hi", "page.HTML": b"x", "none.qqq": b"?"}) as sluice:
            client = sluice.client()
            response = client.get("/static/css/site.css")
            self.assertEqual((response.status, response.body), (200, b"body {}"))
            self.assertTrue(response.get("content-type").startswith("text/css"))
            self.assertTrue(response.get("etag"))
            self.assertTrue(response.get("last-modified").endswith("GMT"))
            self.assertEqual(response.get("accept-ranges"), "bytes")
            self.assertEqual(client.get("/static/").body, b"<p>hi")
            self.assertTrue(client.get("/static/page.HTML").get("content-type").startswith("text/html"))
            self.assertEqual(client.get("/static/none.qqq").get("content-type"), "application/octet-stream")
            self.assertEqual(client.get("/static/none").status, 404)
            self.assertEqual(client.get("/static/css").status in (301, 302, 307, 308), True)
            self.assertEqual(client.get("/static/css/").status in (403, 404), True)  # no listing unless asked for

    def test_only_reading_methods(self):
        with self.sluice({"a.txt": b"a"}) as sluice:
            client = sluice.client()
            response = client.get("/static/a.txt", "POST", body="x")
            self.assertEqual(response.status, 405)
            self.assertIn("GET", response.get("allow"))
            head = client.get("/static/a.txt", "HEAD")
            self.assertEqual((head.status, head.get("content-length")), (200, "1"))

    def test_conditionals(self):
        with self.sluice({"a.txt": b"0123456789"}) as sluice:
            client = sluice.client()
            first = client.get("/static/a.txt")
            etag, date = first.get("etag"), first.get("last-modified")
            for headers, status in (({"If-None-Match": etag}, 304), ({"If-None-Match": '"other"'}, 200), ({"If-None-Match": "*"}, 304),
                                    ({"If-None-Match": '"x", ' + etag}, 304), ({"If-Modified-Since": date}, 304),
                                    ({"If-Modified-Since": "Thu, 01 Jan 1970 00:00:10 GMT"}, 200), ({"If-Match": '"other"'}, 412),
                                    ({"If-Match": etag}, 200), ({"If-Unmodified-Since": "Thu, 01 Jan 1970 00:00:10 GMT"}, 412),
                                    ({"If-None-Match": '"other"', "If-Modified-Since": date}, 200)):
                response = client.get("/static/a.txt", headers=headers)
                self.assertEqual(response.status, status, headers)
                if status == 304:
                    self.assertEqual(response.get("etag"), etag)

    def test_ranges(self):
        with self.sluice({"a.txt": b"0123456789"}) as sluice:
            client = sluice.client()
            etag = client.get("/static/a.txt").get("etag")
            for given, body, content_range in (("bytes=0-3", b"0123", "bytes 0-3/10"), ("bytes=7-", b"789", "bytes 7-9/10"),
                                               ("bytes=-2", b"89", "bytes 8-9/10"), ("bytes=5-100", b"56789", "bytes 5-9/10")):
                response = client.get("/static/a.txt", headers={"Range": given})
                self.assertEqual((response.status, response.body, response.get("content-range")), (206, body, content_range))
            response = client.get("/static/a.txt", headers={"Range": "bytes=10-"})
            self.assertEqual((response.status, response.get("content-range")), (416, "bytes */10"))
            self.assertEqual(client.get("/static/a.txt", headers={"Range": "bytes=0-1", "If-Range": '"old"'}).status, 200)
            self.assertEqual(client.get("/static/a.txt", headers={"Range": "bytes=0-1", "If-Range": etag}).status, 206)
            response = client.get("/static/a.txt", headers={"Range": "bytes=0-1,5-6"})
            self.assertEqual(response.status, 206)
            self.assertTrue(response.get("content-type").startswith("multipart/byteranges"))
            self.assertIn(b"bytes 0-1/10", response.body)
            self.assertIn(b"bytes 5-6/10", response.body)

    def test_many_small_overlapping_ranges_do_not_multiply(self):
        with self.sluice({"a.bin": b"x" * 100000}) as sluice:
            response = sluice.get("/static/a.bin", headers={"Range": "bytes=" + ",".join("0-" for _ in range(1000))})
            self.assertIn(response.status, (200, 206, 416))
            self.assertLess(len(response.body), 400000)

    def test_precompressed_siblings(self):
        plain = b"var a = 1;\n" * 100
        with self.sluice({"a.js": plain, "a.js.gz": gzip.compress(plain), "a.js.br": b"brotli bytes"}) as sluice:
            client = sluice.client()
            response = client.get("/static/a.js", headers={"Accept-Encoding": "gzip"})
            self.assertEqual((response.get("content-encoding"), gzip.decompress(response.body)), ("gzip", plain))
            self.assertTrue(response.get("content-type").startswith(("text/javascript", "application/javascript")))
            self.assertIn("accept-encoding", response.get("vary").lower())
            self.assertEqual(client.get("/static/a.js", headers={"Accept-Encoding": "gzip, br"}).get("content-encoding"), "br")
            response = client.get("/static/a.js")
            self.assertEqual((response.body, response.has("content-encoding")), (plain, False))
            self.assertIn("accept-encoding", response.get("vary").lower())
            self.assertFalse(client.get("/static/a.js", headers={"Accept-Encoding": "gzip;q=0, br;q=0"}).has("content-encoding"))

    def test_cache_control_listing_and_hidden(self):
        files = {"a.txt": b"a", "sub/b.txt": b"b", ".env": b"secret"}
        with self.sluice(files, 'cache_control: "public, max-age=60", listing: on') as sluice:
            client = sluice.client()
            self.assertEqual(client.get("/static/a.txt").get("cache-control"), "public, max-age=60")
            listing = client.get("/static/").body
            self.assertIn(b"a.txt", listing)
            self.assertNotIn(b".env", listing)
            self.assertEqual(client.get("/static/.env").status in (403, 404), True)

    def test_try_files_and_fallback(self):
        with Origin(lambda r: answer("app")) as origin, self.sluice({"a.txt": b"a"}, "fallback: app",
                "  - { path: /spa/, static: { root: $dir/files, try_files: [ $$path, /a.txt ] } }\nupstreams: { app: { endpoints: [ $endpoint ] } }\n",
                endpoint=origin.endpoint) as sluice:
            client = sluice.client()
            self.assertEqual(client.get("/static/a.txt").body, b"a")
            self.assertEqual(client.get("/static/other").body, b"app")
            self.assertEqual(client.get("/spa/any/thing").body, b"a")

    def test_nothing_outside_the_root(self):
        with self.sluice({"in.txt": b"in"}) as sluice:
            with open(sluice.dir + "/secret.txt", "w") as f:
                f.write("TOP SECRET")
            os.symlink("../secret.txt", sluice.dir + "/files/out.txt")
            os.symlink("in.txt", sluice.dir + "/files/inside.txt")
            client = sluice.client()
            for target in ("/static/../secret.txt", "/static/..%2fsecret.txt", "/static/%2e%2e/secret.txt", "/static/out.txt", "/static../secret.txt",
                           "/static/in.txt/../../secret.txt", "/static//../secret.txt"):
                response = client.get(target)
                self.assertNotIn(b"SECRET", response.body, target)
                self.assertLess(response.status, 500)

    def test_a_large_file_whole_and_in_part(self):
        body = os.urandom(1 << 20) * 32
        with self.sluice({"big.bin": body}) as sluice:
            client = sluice.client()
            before = sluice.rss()
            self.assertEqual(client.get("/static/big.bin").body, body)
            self.assertLess(sluice.rss() - before, 8 << 20)
            self.assertEqual(client.get("/static/big.bin", headers={"Range": "bytes=31457280-"}).body, body[31457280:])

    def test_a_file_replaced_while_it_is_served_stays_whole(self):
        old, new = b"o" * (16 << 20), b"n" * (16 << 20)
        with self.sluice({"f.bin": old}) as sluice:
            client = sluice.client(receive_buffer=8192)
            client.ask("/static/f.bin")
            client.head()
            with open(sluice.dir + "/files/new", "wb") as f:
                f.write(new)
            os.rename(sluice.dir + "/files/new", sluice.dir + "/files/f.bin")
            self.assertEqual(client.take(len(old)), old)
            self.assertEqual(sluice.get("/static/f.bin").body, new)

    def test_a_file_that_shrinks_is_cut_and_not_filled_up(self):
        with self.sluice({"f.bin": b"x" * (16 << 20)}) as sluice:
            client = sluice.client(receive_buffer=8192)
            client.ask("/static/f.bin")
            client.head()
            os.truncate(sluice.dir + "/files/f.bin", 100)
            time.sleep(0.05)
            client.is_gone()  # the connection ends: the client can tell
            self.assertEqual(sluice.get("/static/f.bin").body, b"x" * 100)

    def test_the_etag_changes_with_the_file(self):
        with self.sluice({"a.txt": b"one"}) as sluice:
            first = sluice.get("/static/a.txt").get("etag")
            with open(sluice.dir + "/files/new", "wb") as f:
                f.write(b"two")
            os.rename(sluice.dir + "/files/new", sluice.dir + "/files/a.txt")
            self.assertNotEqual(sluice.get("/static/a.txt").get("etag"), first)

    def test_special_files_are_not_served(self):
        with self.sluice({"a.txt": b"a"}) as sluice:
            os.mkfifo(sluice.dir + "/files/pipe")  # opening it would block
            self.assertIn(sluice.get("/static/pipe").status, (403, 404))
