#include "proxy/http/mime.h"

#include <doctest/doctest.h>

using namespace sluice::http;

TEST_CASE("mime: the extension is what follows the last dot of the name") {
  CHECK(extension_of("app.js") == "js");
  CHECK(extension_of("a.b/c.tar.gz") == "gz");
  CHECK(extension_of("a.b/c") == "");
  CHECK(extension_of("a/.profile") == "");
  CHECK(extension_of("x.") == "");
  CHECK(extension_of("") == "");
}

TEST_CASE("mime: text says its charset, case does not matter, unknown is unknown") {
  CHECK(mime_type_of("html") == "text/html; charset=utf-8");
  CHECK(mime_type_of("JS") == "text/javascript; charset=utf-8");
  CHECK(mime_type_of("Css") == "text/css; charset=utf-8");
  CHECK(mime_type_of("json") == "application/json");
  CHECK(mime_type_of("svg") == "image/svg+xml");
  CHECK(mime_type_of("woff2") == "font/woff2");
  CHECK(mime_type_of("webmanifest") == "application/manifest+json");
  CHECK(mime_type_of("3gp") == "video/3gpp");
  CHECK(mime_type_of("zst") == "application/zstd");
  CHECK(mime_type_of("") == "");
  CHECK(mime_type_of("unheardof") == "");
  CHECK(mime_type_of("averyveryverylongextension") == "");
}

TEST_CASE("mime: text is worth compressing, packed content is not") {
  CHECK(is_compressible("text/html; charset=utf-8"));
  CHECK(is_compressible("application/json"));
  CHECK(is_compressible("image/svg+xml"));
  CHECK(is_compressible("application/ld+json ; x=y"));
  CHECK_FALSE(is_compressible("image/png"));
  CHECK_FALSE(is_compressible("font/woff2"));
  CHECK_FALSE(is_compressible("application/gzip"));
  CHECK_FALSE(is_compressible(""));
}
