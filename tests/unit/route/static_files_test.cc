#include "proxy/route/static_files.h"

#include <doctest/doctest.h>

#include <filesystem>

#include <sys/stat.h>

#include "tests/unit/route/site.h"

using namespace sluice;
using namespace sluice::route;

namespace {

struct Shop : Site {
  Shop() {
    temp.write("www/index.html", "home");
    temp.write("www/file.txt", "0123456789\n");
    temp.write("www/sub/index.html", "sub index");
    temp.write("www/sub/a.txt", "in sub");
    temp.write("www/sp ace.txt", "space");
    temp.write("www/plus+sign.txt", "plus");
    temp.write("www/semi;colon.txt", "semi");
    temp.write("www/u\xC3\xA9.txt", "utf8");
    temp.write("www/per cent.txt", "space");
    temp.write("www/.hidden", "hidden");
    temp.write("www/.git/config", "hidden");
    temp.write("www/noindex/x.txt", "x");
    temp.write("www/about.html", "about");
    temp.write("secret.txt", "SECRET");
    temp.link("www/link-out.txt", "../secret.txt");
  }
};

}  // namespace

TEST_CASE("static files: the path names a file below the root, decoded once") {
  const Shop shop;
  CHECK(shop.body("/static/") == "home");
  CHECK(shop.body("/static/file.txt") == "0123456789\n");
  CHECK(shop.body("/static/file.txt?x=../../secret.txt") == "0123456789\n");
  CHECK(shop.body("/static/%66ile.txt") == "0123456789\n");
  CHECK(shop.body("/static/sub/a.txt") == "in sub");
  CHECK(shop.body("/static/sub//a.txt") == "in sub");
  CHECK(shop.body("/static/sub/") == "sub index");
  CHECK(shop.body("/static/sp%20ace.txt") == "space");
  CHECK(shop.body("/static/plus+sign.txt") == "plus");
  CHECK(shop.body("/static/semi;colon.txt") == "semi");
  CHECK(shop.body("/static/u%C3%A9.txt") == "utf8");
  CHECK(shop.status("/static/per%2520cent.txt") == 404);
  CHECK(shop.status("/static/FILE.TXT") == 404);
  CHECK(shop.status("/static/file.txt/") == 404);
  CHECK(shop.status("/static/file.txt/x") == 404);
  CHECK(shop.status("/static/sub%2Fa.txt") == 404);
  CHECK(shop.status("/static/" + std::string(5000, 'a')) == 404);
  CHECK(shop.status("/static/" + std::string(300, 'a')) == 404);
}

TEST_CASE("static files: links out, dot files, folders without an index and FIFOs are not served") {
  Shop shop;
  REQUIRE(::mkfifo(shop.temp.path("www/pipe").c_str(), 0600) == 0);
  CHECK(shop.status("/static/link-out.txt") == 404);
  CHECK(shop.status("/static/pipe") == 404);
  CHECK(shop.status("/static/.hidden") == 404);
  CHECK(shop.status("/static/.git/config") == 404);
  CHECK(shop.status("/static/noindex/") == 403);
  CHECK(shop.status("/static/nowhere/") == 404);
  shop.config.hidden = true;
  CHECK(shop.body("/static/.hidden") == "hidden");
  shop.config.follow_symlinks = true;
  CHECK(shop.status("/static/link-out.txt") == 404);
}

TEST_CASE("static files: a folder without its slash is redirected to, and nowhere else") {
  const Shop shop;
  const auto answer = shop.get("/static/sub?a=b&c=%20");
  CHECK(answer.head.status == 301);
  CHECK(field(answer, "Location") == "/static/sub/?a=b&c=%20");
  CHECK(field(shop.get("/static"), "Location") == "/static/");
  CHECK(field(shop.get("//static/sub"), "Location") == "/static/sub/");
  CHECK(field(shop.get("/static/%73ub"), "Location") == "/static/%73ub/");
  CHECK(field(shop.get("//evil.example/../static/sub"), "Location") ==
        "/evil.example/../static/sub/");
  // The client's target says nothing about where X-Accel-Redirect pointed.
  CHECK(shop.ask("GET", "/static/sub", {}, true).head.status == 404);
}

TEST_CASE("static files: other methods are refused; HEAD and OPTIONS are answered") {
  const Shop shop;
  for (const auto* method : {"POST", "PUT", "DELETE", "PATCH", "get"}) {
    CAPTURE(method);
    const auto answer = shop.ask(method, "/static/file.txt");
    CHECK(answer.head.status == 405);
    CHECK(field(answer, "Allow") == "GET, HEAD, OPTIONS");
  }
  const auto options = shop.ask("OPTIONS", "/static/file.txt");
  CHECK(options.head.status == 204);
  CHECK(field(options, "Allow") == "GET, HEAD, OPTIONS");
  const auto head = shop.ask("HEAD", "/static/file.txt");
  CHECK(head.head.status == 200);
  CHECK(head.head.body.is_none());
  CHECK(head.head.declared_length == 11);
  CHECK(head.body.empty());
  CHECK(field(head, "Content-Type") == "text/plain; charset=utf-8");
  // A POST whose answer was an X-Accel-Redirect gets the file.
  CHECK(shop.ask("POST", "/static/file.txt", {}, true).head.status == 200);
}

TEST_CASE("static files: with a fallback, what is no file goes there, whatever the method") {
  Shop shop;
  shop.config.fallback = "django";
  CHECK_FALSE(shop.get("/static/file.txt").is_fallback);
  CHECK(shop.get("/static/nothing").is_fallback);
  CHECK(shop.get("/static/noindex/").is_fallback);
  CHECK(shop.get("/static/.hidden").is_fallback);
  CHECK(shop.ask("POST", "/static/login").is_fallback);
  CHECK(shop.ask("POST", "/static/file.txt").head.status == 405);
  CHECK(shop.ask("OPTIONS", "/static/nothing").is_fallback);
}

TEST_CASE("static files: try_files are tried in order") {
  Shop shop;
  shop.config.try_files = {"$path", "$path.html", "/index.html"};
  CHECK(shop.body("/static/file.txt") == "0123456789\n");
  CHECK(shop.body("/static/about") == "about");
  CHECK(shop.body("/static/app/route/7") == "home");
  CHECK(shop.body("/static/sub") == "home");  // a folder is no file
  CHECK(shop.body("/static/about/") == "home");
  CHECK(shop.body("/static") == "home");
  CHECK(shop.body("/static/.hidden") == "home");
  CHECK(field(shop.get("/static/app/route/7"), "Content-Type") == "text/html; charset=utf-8");
  shop.config.try_files = {"$path/", "/about.html"};
  CHECK(shop.body("/static/sub/") == "sub index");
  CHECK(shop.status("/static/sub") == 301);
  CHECK(shop.body("/static/file.txt") == "about");
  CHECK(shop.body("/static/noindex/") == "about");
  shop.config.try_files = {"$path", "/missing.html"};
  CHECK(shop.status("/static/nothing") == 404);
}

TEST_CASE("static files: index names are tried in order") {
  Shop shop;
  shop.config.index = {"main.html", "a.txt", "index.html"};
  CHECK(shop.body("/static/sub/") == "in sub");
  CHECK(shop.body("/static/") == "home");
  shop.config.index.clear();
  CHECK(shop.status("/static/") == 403);
}

TEST_CASE("static files: types come from the extension, the configuration's first") {
  Shop shop;
  shop.temp.write("www/app.JS", "x");
  shop.temp.write("www/model.xyz", "x");
  shop.temp.write("www/README", "x");
  CHECK(field(shop.get("/static/app.JS"), "Content-Type") == "text/javascript; charset=utf-8");
  CHECK(field(shop.get("/static/model.xyz"), "Content-Type") == "application/octet-stream");
  CHECK(field(shop.get("/static/README"), "Content-Type") == "application/octet-stream");
  shop.config.types = {{"xyz", "chemical/x-xyz"}, {"js", "application/javascript"}};
  CHECK(field(shop.get("/static/model.xyz"), "Content-Type") == "chemical/x-xyz");
  CHECK(field(shop.get("/static/app.JS"), "Content-Type") == "application/javascript");
  CHECK(field(shop.get("/static/file.txt"), "Content-Type") == "text/plain; charset=utf-8");
}

TEST_CASE("static files: a listing only when asked for, its names escaped") {
  Shop shop;
  shop.config.listing = true;
  shop.temp.write("www/list/a<b>&\"'.txt", "x");
  shop.temp.write("www/list/javascript:x", "x");
  shop.temp.write("www/list/deep/y", "x");
  shop.temp.write("www/list/.dot", "x");
  shop.temp.link("www/list/link", "deep");
  const auto answer = shop.get("/static/list/");
  CHECK(answer.head.status == 200);
  CHECK(field(answer, "Content-Type") == "text/html; charset=utf-8");
  const std::string page = bytes_of(answer.body);
  CHECK(page.find("<a href=\"./a%3Cb%3E%26%22%27.txt\">a&lt;b&gt;&amp;&quot;&#39;.txt</a>") !=
        std::string::npos);
  CHECK(page.find("href=\"./javascript%3Ax\"") != std::string::npos);
  CHECK(page.find("<a href=\"./deep/\">deep/</a>") != std::string::npos);
  CHECK(page.find("href=\"../\"") != std::string::npos);
  CHECK(page.find(".dot") == std::string::npos);
  CHECK(page.find("link") == std::string::npos);
  CHECK(answer.head.body.length == page.size());
  CHECK(shop.body("/static/sub/") == "sub index");
  const auto head = shop.ask("HEAD", "/static/list/");
  CHECK(head.head.declared_length == page.size());
  CHECK(head.body.empty());
  CHECK(shop.status("/static/list") == 301);
}

TEST_CASE("static files: a listing ends at its ceiling and says so") {
  Shop shop;
  shop.config.listing = true;
  for (int i = 0; i < 1005; ++i) shop.temp.write("www/many/f" + std::to_string(i), "");
  const std::string page = shop.body("/static/many/");
  size_t links = 0;
  for (size_t at = 0; (at = page.find("href=\"./f", at)) != std::string::npos; ++at) ++links;
  CHECK(links == 1000);
  CHECK(page.find("There is more.") != std::string::npos);
}

TEST_CASE("static files: a packed sibling is chosen by Accept-Encoding") {
  Shop shop;
  shop.temp.write("www/app.js", "plain text of it");
  shop.temp.write("www/app.js.br", "BR");
  shop.temp.write("www/app.js.zst", "ZST");
  shop.temp.write("www/app.js.gz", "GZ");
  const auto body = [&shop](std::string_view accepted) {
    return shop.body("/static/app.js", {{"Accept-Encoding", accepted}});
  };
  CHECK(shop.body("/static/app.js") == "plain text of it");
  CHECK(body("gzip, deflate, br, zstd") == "BR");
  CHECK(body("gzip, zstd") == "ZST");
  CHECK(body("x-gzip") == "GZ");
  CHECK(body("gzip;q=1.0, br;q=0.5") == "GZ");
  CHECK(body("br;q=0, *;q=0.1") == "ZST");
  CHECK(body("identity, gzip;q=0.5") == "plain text of it");
  CHECK(body("gzip;q=0") == "plain text of it");
  CHECK(body("gzip;q=2, br;x=1, zstd;q=0.1234") == "plain text of it");
  CHECK(body("") == "plain text of it");

  const auto plain = shop.get("/static/app.js");
  const auto packed = shop.get("/static/app.js", {{"Accept-Encoding", "gzip"}});
  CHECK(field(plain, "Vary") == "Accept-Encoding");
  CHECK(field(plain, "Content-Encoding").empty());
  CHECK(field(packed, "Vary") == "Accept-Encoding");
  CHECK(field(packed, "Content-Encoding") == "gzip");
  CHECK(field(packed, "Content-Type") == "text/javascript; charset=utf-8");
  CHECK(field(packed, "ETag") != field(plain, "ETag"));
  // Ranges and conditions are about what was chosen.
  const auto part =
      shop.get("/static/app.js", {{"Accept-Encoding", "gzip"}, {"Range", "bytes=1-"}});
  CHECK(field(part, "Content-Range") == "bytes 1-1/2");
  CHECK(bytes_of(part.body) == "Z");
  CHECK(shop.status("/static/app.js", {{"Accept-Encoding", "gzip"},
                                       {"If-None-Match", field(packed, "ETag")}}) == 304);
  CHECK(shop.status("/static/app.js", {{"If-None-Match", field(packed, "ETag")}}) == 200);
}

TEST_CASE(
    "static files: a sibling older than the file is not it; none is sought for what is packed") {
  Shop shop;
  shop.temp.write("www/app.css", "new", 1700000100);
  shop.temp.write("www/app.css.br", "OLD", 1700000099);
  shop.temp.write("www/app.css.gz", "NEW", 1700000100);
  shop.temp.write("www/x.png", "png");
  shop.temp.write("www/x.png.gz", "GZ");
  CHECK(shop.body("/static/app.css", {{"Accept-Encoding", "br, gzip"}}) == "NEW");
  CHECK(shop.body("/static/x.png", {{"Accept-Encoding", "gzip"}}) == "png");
  CHECK(field(shop.get("/static/x.png"), "Vary").empty());
  // Asked for by its own name it is what it is.
  const auto own = shop.get("/static/app.css.gz", {{"Accept-Encoding", "gzip"}});
  CHECK(field(own, "Content-Type") == "application/gzip");
  CHECK(field(own, "Content-Encoding").empty());
  shop.config.precompressed = false;
  CHECK(shop.body("/static/app.css", {{"Accept-Encoding", "gzip"}}) == "new");
}

TEST_CASE("static files: a missing root is 404 until it is there") {
  Site site;
  site.config.root = site.temp.path("late");
  CHECK(site.status("/static/x.txt") == 404);
  site.temp.write("late/x.txt", "here");
  CHECK(site.body("/static/x.txt") == "here");
}
