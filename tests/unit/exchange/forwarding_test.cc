#include "proxy/exchange/forwarding.h"

#include <set>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "proxy/config/address.h"
#include "proxy/exchange/request_id.h"

using namespace sluice;
using namespace sluice::exchange;

namespace {

using Fields = std::vector<std::pair<std::string, std::string>>;

std::vector<config::Network> networks(const std::vector<std::string>& texts) {
  std::vector<config::Network> made;
  for (const auto& text : texts) made.push_back(config::parse_network(text).value());
  return made;
}

const auto kTrusted = networks({"10.0.0.0/8", "fd00::/8"});

Hop untrusted(std::string_view address = "203.0.113.7") {
  return {address, 8080, false, false, kTrusted};
}
Hop trusted(std::string_view address = "10.0.0.1") {
  return {address, 8080, false, true, kTrusted};
}

http::RequestHead request(const Fields& fields, std::string_view method = "GET") {
  http::RequestHead head;
  head.method = method;
  head.authority = "example.com:8080";
  head.headers.add("Host", "example.com:8080");
  for (const auto& [name, value] : fields) head.headers.add(name, value);
  return head;
}

std::string get(const http::RequestHead& head, std::string_view name) {
  return std::string{head.headers.get(name)};
}
size_t count(const http::RequestHead& head, std::string_view name) {
  size_t n = 0;
  for (const auto& field : head.headers) n += field.name == name ? 1 : 0;
  return n;
}

}  // namespace

TEST_CASE("forwarding: what a client's certificate says comes from TLS alone") {
  const net::CertificateFacts facts{"CN=me", "DNS:me.example", "ab12"};
  const Fields spoofed{{"X-Client-Cert-Subject", "CN=root"},
                       {"x-client-cert-verify", "SUCCESS"},
                       {"X-Client-Cert-Subject", "CN=other"}};
  auto none = request(spoofed);
  rewrite_request(untrusted(), none);
  CHECK(get(none, "X-Client-Cert-Subject").empty());
  CHECK(get(none, "X-Client-Cert-Verify").empty());
  auto kept = request(spoofed);
  rewrite_request(trusted(), kept);
  CHECK(count(kept, "X-Client-Cert-Subject") == 2);
  for (Hop hop : {untrusted(), trusted()}) {
    hop.certificate = &facts;
    auto shown = request(spoofed);
    rewrite_request(hop, shown);
    CHECK(count(shown, "X-Client-Cert-Subject") == 1);
    CHECK(get(shown, "X-Client-Cert-Subject") == "CN=me");
    CHECK(get(shown, "X-Client-Cert-San") == "DNS:me.example");
    CHECK(get(shown, "X-Client-Cert-Fingerprint") == "ab12");
    CHECK(get(shown, "X-Client-Cert-Verify").empty());
  }
}

TEST_CASE("forwarding: an untrusted client's word is replaced") {
  auto head = request({{"X-Forwarded-For", "1.2.3.4"},
                       {"X-Forwarded-For", "5.6.7.8"},
                       {"X-Forwarded-Proto", "https"},
                       {"X-Forwarded-Host", "evil.example"},
                       {"X-Forwarded-Port", "443"},
                       {"X-Real-IP", "1.2.3.4"},
                       {"X-Request-Id", "mine"},
                       {"Forwarded", "for=1.2.3.4"},
                       {"X-Forwarded-Ssl", "on"},
                       {"X-Forwarded-Scheme", "https"},
                       {"X-Forwarded-Prefix", "/x"},
                       {"X-Scheme", "https"},
                       {"X-Url-Scheme", "https"},
                       {"Front-End-Https", "on"}});
  const auto forwarded = rewrite_request(untrusted(), head);
  CHECK(forwarded.client == "203.0.113.7");
  CHECK_FALSE(forwarded.secure);
  CHECK(forwarded.dropped == 7);
  CHECK(get(head, "X-Forwarded-For") == "203.0.113.7");
  CHECK(count(head, "X-Forwarded-For") == 1);
  CHECK(get(head, "X-Forwarded-Proto") == "http");
  CHECK(get(head, "X-Forwarded-Host") == "example.com:8080");
  CHECK(get(head, "X-Forwarded-Port") == "8080");
  CHECK(get(head, "X-Real-IP") == "203.0.113.7");
  CHECK(get(head, "X-Request-Id") == forwarded.request_id);
  CHECK(forwarded.request_id.size() == 32);
  CHECK(get(head, "Host") == "example.com:8080");
  for (const auto* gone : {"Forwarded", "X-Forwarded-Ssl", "X-Forwarded-Scheme",
                           "X-Forwarded-Prefix", "X-Scheme", "X-Url-Scheme", "Front-End-Https"}) {
    CAPTURE(gone);
    CHECK(head.headers.find(gone) == nullptr);
  }
}

TEST_CASE("forwarding: a bare request gets each field once") {
  auto head = request({});
  rewrite_request(untrusted("2001:db8::1"), head);
  CHECK(head.headers.size() == 8);
  CHECK(get(head, "X-Forwarded-For") == "2001:db8::1");
  CHECK(get(head, "X-Real-IP") == "2001:db8::1");
  CHECK(get(head, "Via") == "1.1 sluice");
  CHECK(head.headers.find("Forwarded") == nullptr);
}

TEST_CASE("forwarding: over TLS the scheme is https") {
  auto head = request({{"X-Forwarded-Proto", "http"}});
  auto hop = untrusted();
  hop.secure = true;
  CHECK(rewrite_request(hop, head).secure);
  CHECK(get(head, "X-Forwarded-Proto") == "https");
}

TEST_CASE("forwarding: a trusted proxy's word is kept and continued") {
  auto head = request({{"X-Forwarded-For", "203.0.113.7"},
                       {"X-Forwarded-Proto", "https"},
                       {"X-Forwarded-Host", "shop.example"},
                       {"X-Forwarded-Port", "8443"},
                       {"X-Forwarded-Ssl", "on"},
                       {"X-Request-Id", "abc-123"},
                       {"X-Real-IP", "9.9.9.9"},
                       {"Forwarded", "for=_hidden;proto=https"},
                       {"Via", "1.1 alb"},
                       {"X-Amzn-Trace-Id", "Root=1-2-3"},
                       {"traceparent", "00-aa-bb-01"},
                       {"tracestate", "x=y"}});
  const auto forwarded = rewrite_request(trusted(), head);
  CHECK(forwarded.client == "203.0.113.7");
  CHECK(forwarded.secure);
  CHECK(forwarded.dropped == 0);
  CHECK(forwarded.request_id == "abc-123");
  CHECK(get(head, "X-Forwarded-For") == "203.0.113.7, 10.0.0.1");
  CHECK(get(head, "X-Forwarded-Proto") == "https");
  CHECK(get(head, "X-Forwarded-Host") == "shop.example");
  CHECK(get(head, "X-Forwarded-Port") == "8443");
  CHECK(get(head, "X-Forwarded-Ssl") == "on");
  CHECK(get(head, "X-Real-IP") == "203.0.113.7");
  CHECK(get(head, "Forwarded") == "for=_hidden;proto=https, for=10.0.0.1");
  CHECK(get(head, "Via") == "1.1 alb, 1.1 sluice");
  CHECK(get(head, "X-Amzn-Trace-Id") == "Root=1-2-3");
  CHECK(get(head, "traceparent") == "00-aa-bb-01");
  CHECK(get(head, "tracestate") == "x=y");
  CHECK(head.headers.size() == 13);
}

TEST_CASE("forwarding: what a trusted proxy leaves out or gets wrong is made") {
  SUBCASE("nothing said") {
    auto head = request({});
    const auto forwarded = rewrite_request(trusted(), head);
    CHECK(forwarded.client == "10.0.0.1");
    CHECK(get(head, "X-Forwarded-For") == "10.0.0.1");
    CHECK(get(head, "X-Forwarded-Proto") == "http");
    CHECK(get(head, "X-Forwarded-Port") == "8080");
    CHECK(get(head, "X-Forwarded-Host") == "example.com:8080");
  }
  SUBCASE("a scheme without a port") {
    auto head = request({{"X-Forwarded-Proto", "https"}});
    rewrite_request(trusted(), head);
    CHECK(get(head, "X-Forwarded-Port") == "443");
  }
  SUBCASE("values that cannot be") {
    auto head = request({{"X-Forwarded-Proto", "HTTPS"},
                         {"X-Forwarded-Host", "a b/c"},
                         {"X-Forwarded-Port", "65536"},
                         {"X-Request-Id", "with space"}});
    const auto forwarded = rewrite_request(trusted(), head);
    CHECK_FALSE(forwarded.secure);
    CHECK(get(head, "X-Forwarded-Proto") == "http");
    CHECK(get(head, "X-Forwarded-Host") == "example.com:8080");
    CHECK(get(head, "X-Forwarded-Port") == "8080");
    CHECK(forwarded.request_id.size() == 32);
  }
  SUBCASE("two values where one is meant") {
    auto head = request({{"X-Forwarded-Proto", "https"},
                         {"X-Forwarded-Proto", "http"},
                         {"X-Request-Id", "a"},
                         {"X-Request-Id", "b"}});
    const auto forwarded = rewrite_request(trusted(), head);
    CHECK(get(head, "X-Forwarded-Proto") == "http");
    CHECK(count(head, "X-Forwarded-Proto") == 1);
    CHECK(count(head, "X-Request-Id") == 1);
    CHECK(get(head, "X-Request-Id") == forwarded.request_id);
    CHECK(forwarded.request_id.size() == 32);
  }
}

TEST_CASE("forwarding: repeated lists are joined in order") {
  auto head = request({{"X-Forwarded-For", "198.51.100.1"},
                       {"Forwarded", "for=a"},
                       {"X-Other", "1"},
                       {"X-Forwarded-For", ""},
                       {"x-forwarded-for", "203.0.113.7, 10.1.1.1"},
                       {"Forwarded", "for=b"}});
  const auto forwarded = rewrite_request(trusted("fd00::5"), head);
  CHECK(get(head, "X-Forwarded-For") == "198.51.100.1, 203.0.113.7, 10.1.1.1, fd00::5");
  CHECK(get(head, "Forwarded") == "for=a, for=b, for=\"[fd00::5]\"");
  CHECK(forwarded.client == "203.0.113.7");
  CHECK(count(head, "X-Forwarded-For") + count(head, "x-forwarded-for") == 1);
  CHECK(count(head, "Forwarded") == 1);
  CHECK(get(head, "X-Other") == "1");
}

TEST_CASE("forwarding: the walk along X-Forwarded-For") {
  const auto walk = [](std::string_view list) {
    return std::string{believed_client(trusted(), list)};
  };
  CHECK(walk("") == "10.0.0.1");
  CHECK(walk("203.0.113.7") == "203.0.113.7");
  CHECK(walk("1.1.1.1, 203.0.113.7") == "203.0.113.7");
  CHECK(walk("1.1.1.1, 203.0.113.7, 10.2.2.2, fd00::1") == "203.0.113.7");
  CHECK(walk("10.3.3.3,10.2.2.2") == "10.3.3.3");
  CHECK(walk("203.0.113.7:4711") == "203.0.113.7");
  CHECK(walk("2001:db8::1") == "2001:db8::1");
  CHECK(walk("[2001:db8::1]") == "2001:db8::1");
  CHECK(walk("[2001:db8::1]:4711, 10.0.0.9") == "2001:db8::1");
  CHECK(walk("\"[2001:db8::1]:4711\"") == "2001:db8::1");
  CHECK(walk("::ffff:10.9.9.9") == "::ffff:10.9.9.9");
  CHECK(walk("203.0.113.7, ::ffff:10.9.9.9") == "203.0.113.7");
  CHECK(walk(" , ,203.0.113.7 ,, ") == "203.0.113.7");
  // What cannot be read ends the walk at the address before.
  for (const std::string garbage :
       {"unknown", "_hidden", "for=_x", "1.2.3", "1.2.3.4.5", "[::1", "[::1]x", "[::1]:", "::1]",
        "1.2.3.4:x", "1.2.3.4 5", "<script>", "\"", "[", "256.1.1.1", "fe80::1%eth0"}) {
    CAPTURE(garbage);
    CHECK(walk(garbage) == "10.0.0.1");
    CHECK(walk("203.0.113.7, " + garbage + ", 10.5.5.5") == "10.5.5.5");
  }
  CHECK(believed_client(untrusted(), "1.1.1.1") == "203.0.113.7");
}

TEST_CASE("forwarding: a very long X-Forwarded-For is walked only so far, and passed on whole") {
  std::string list = "203.0.113.7";
  for (int i = 0; i < 1000; ++i)
    list += ", 10.0." + std::to_string(i / 250) + "." + std::to_string(i % 250);
  auto head = request({{"X-Forwarded-For", list}});
  const auto forwarded = rewrite_request(trusted(), head);
  // 1000 - kMostHops = 936, which is 3 * 250 + 186.
  CHECK(forwarded.client == "10.0.3.186");
  CHECK(get(head, "X-Forwarded-For") == list + ", 10.0.0.1");
}

TEST_CASE("forwarding: a client on a unix socket has no address") {
  SUBCASE("not trusted") {
    auto head = request({{"X-Forwarded-For", "1.2.3.4"}, {"X-Real-IP", "1.2.3.4"}});
    auto hop = untrusted("");
    hop.local_port = 0;
    CHECK(rewrite_request(hop, head).client.empty());
    CHECK(head.headers.find("X-Forwarded-For") == nullptr);
    CHECK(head.headers.find("X-Real-IP") == nullptr);
    CHECK(head.headers.find("X-Forwarded-Port") == nullptr);
  }
  SUBCASE("trusted") {
    auto head = request({{"X-Forwarded-For", "203.0.113.7"}, {"Forwarded", "for=203.0.113.7"}});
    auto hop = trusted("");
    hop.local_port = 0;
    CHECK(rewrite_request(hop, head).client == "203.0.113.7");
    CHECK(get(head, "X-Forwarded-For") == "203.0.113.7");
    CHECK(get(head, "X-Real-IP") == "203.0.113.7");
    CHECK(get(head, "Forwarded") == "for=203.0.113.7, for=unknown");
  }
}

TEST_CASE("forwarding: without a Host there is no X-Forwarded-Host") {
  http::RequestHead head;
  head.method = "GET";
  head.version = http::Version::kHttp10;
  head.headers.add("X-Forwarded-Host", "evil.example");
  rewrite_request(untrusted(), head);
  CHECK(head.headers.find("X-Forwarded-Host") == nullptr);
  CHECK(head.headers.get("Via") == "1.0 sluice");
  CHECK(head.headers.get("X-Forwarded-For") == "203.0.113.7");
}

TEST_CASE("forwarding: unsafe names are dropped from everybody") {
  for (const auto& hop : {untrusted(), trusted()}) {
    auto head = request({{"Proxy", "http://evil"},
                         {"X_Forwarded_For", "1.2.3.4"},
                         {"Remote_User", "root"},
                         {"_", "x"},
                         {"X-Accel-Redirect", "/secret"},
                         {"x-accel-buffering", "no"},
                         {"X-Accel-Limit-Rate", "1"},
                         {"X-Accelerator", "stays"},
                         {"User-Agent", "a_b"}});
    CHECK(rewrite_request(hop, head).dropped == 7);
    CHECK(get(head, "X-Accelerator") == "stays");
    CHECK(get(head, "User-Agent") == "a_b");
    for (const auto& field : head.headers) {
      CHECK(field.name.find('_') == std::string_view::npos);
      CHECK(field.name != "Proxy");
    }
  }
}

TEST_CASE("forwarding: Max-Forwards is counted down for OPTIONS and TRACE") {
  const auto after = [](std::string_view method, std::string_view value) {
    auto head = request({{"Max-Forwards", std::string{value}}}, method);
    const bool is_last = rewrite_request(untrusted(), head).is_last;
    return is_last ? "last" : get(head, "Max-Forwards");
  };
  CHECK(after("OPTIONS", "3") == "2");
  CHECK(after("OPTIONS", "100") == "99");
  CHECK(after("TRACE", "1") == "0");
  CHECK(after("TRACE", "0") == "last");
  CHECK(after("OPTIONS", "000") == "last");
  CHECK(after("OPTIONS", "x") == "x");
  CHECK(after("OPTIONS", "99999999999999999999999") == "99999999999999999999999");
  CHECK(after("GET", "0") == "0");
}

TEST_CASE("forwarding: the heads survive being moved") {
  auto head = request({{"X-Forwarded-For", "203.0.113.7"}});
  const auto forwarded = rewrite_request(trusted(), head);
  const http::RequestHead moved = std::move(head);
  CHECK(forwarded.client == "203.0.113.7");
  CHECK(moved.headers.get("X-Request-Id") == forwarded.request_id);
}

TEST_CASE("forwarding: an answer loses its orders to the proxy and nothing else") {
  http::ResponseHead head;
  head.headers.add("Server", "gunicorn");
  head.headers.add("X-Accel-Redirect", "/internal/a.pdf");
  head.headers.add("X-Accel-Buffering", "No");
  head.headers.add("X-Accel-Expires", "0");
  head.headers.add("X-Request-Id", "abc");
  const auto orders = take_accel_orders(head);
  CHECK(orders.redirect == "/internal/a.pdf");
  CHECK(orders.buffering == false);
  CHECK(head.headers.size() == 2);
  CHECK(head.headers.get("Server") == "gunicorn");
  CHECK(head.headers.get("X-Request-Id") == "abc");

  http::ResponseHead plain;
  plain.headers.add("X-Accel-Buffering", "perhaps");
  const auto none = take_accel_orders(plain);
  CHECK(none.redirect.empty());
  CHECK_FALSE(none.buffering.has_value());
  CHECK(plain.headers.empty());
}

TEST_CASE("request id: hex, and never the same") {
  std::set<std::string> seen;
  for (int i = 0; i < 10000; ++i) {
    std::string id(kRequestIdSize, '?');
    make_request_id(id.data());
    REQUIRE(id.find_first_not_of("0123456789abcdef") == std::string::npos);
    seen.insert(id);
  }
  CHECK(seen.size() == 10000);
}

TEST_CASE("request id: another's is passed on when it is short and visible") {
  CHECK(is_sane_request_id("a"));
  CHECK(is_sane_request_id("Root=1-67891233-abcdef012345678912345678;x"));
  CHECK(is_sane_request_id(std::string(128, 'x')));
  CHECK_FALSE(is_sane_request_id(std::string(129, 'x')));
  CHECK_FALSE(is_sane_request_id(""));
  CHECK_FALSE(is_sane_request_id("a b"));
  CHECK_FALSE(is_sane_request_id("a\tb"));
  CHECK_FALSE(is_sane_request_id("caf\xc3\xa9"));
}
