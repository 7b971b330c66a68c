// The files under conf/: that they load, say the defaults, and name every key there is.
#include <fstream>
#include <iterator>
#include <set>
#include <string>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "proxy/config/dump.h"
#include "tests/unit/config/loading.h"

namespace sluice::config {
namespace {

using Json = nlohmann::json;

std::string conf(const std::string& name) {
  return std::string{SLUICE_SOURCE_DIR} + "/conf/" + name;
}

std::string text_of(const std::string& path) {
  std::ifstream file{path};
  REQUIRE(file);
  return {std::istreambuf_iterator<char>{file}, {}};
}

Loaded load_conf(const std::string& name, std::map<std::string, std::string> variables = {}) {
  const auto loaded = load_file(conf(name), options(std::move(variables)));
  CAPTURE(fault(loaded));
  REQUIRE(loaded.config);
  return loaded;
}

// What the schema calls "listeners[].limits.line" and "upstreams.*.pool.idle", with its words.
void keys_of(const Json& schema, const Json& root, const std::string& path, KeyLog& keys) {
  if (schema.contains("$ref")) {
    const std::string ref = schema["$ref"];
    keys_of(root.at(Json::json_pointer{ref.substr(1)}), root, path, keys);
  }
  for (const char* either : {"oneOf", "anyOf"}) {
    if (!schema.contains(either)) continue;
    for (const auto& branch : schema[either]) keys_of(branch, root, path, keys);
  }
  if (schema.contains("enum") && !path.empty()) {
    for (const auto& word : schema["enum"]) {
      if (word.is_string()) keys[path].push_back(word);
    }
  }
  if (schema.contains("items")) keys_of(schema["items"], root, path + "[]", keys);
  if (schema.contains("additionalProperties") && schema["additionalProperties"].is_object()) {
    keys_of(schema["additionalProperties"], root, path + ".*", keys);
  }
  if (!schema.contains("properties")) return;
  CHECK_MESSAGE(schema.value("additionalProperties", true) == false, path);
  for (const auto& property : schema["properties"].items()) {
    const Json& inner = property.value();
    const std::string key = path.empty() ? property.key() : path + "." + property.key();
    CHECK_MESSAGE((inner.contains("description") || inner.contains("$ref")), key);
    keys.try_emplace(key);
    keys_of(inner, root, key, keys);
  }
}

KeyLog schema_keys() {
  const auto schema = Json::parse(text_of(conf("schema.json")), nullptr, false);
  REQUIRE_FALSE(schema.is_discarded());
  KeyLog keys;
  keys_of(schema, schema, "", keys);
  return keys;
}

// Without the first place where `what` stands.
std::string cut(std::string text, const std::string& what) {
  const auto at = text.find(what);
  REQUIRE(at != std::string::npos);
  return text.erase(at, what.size());
}

// The commented lines that begin with `first` and go on deeper than it, without their "# ".
std::string uncomment(std::string text, const std::string& first) {
  auto at = text.find(first);
  REQUIRE(at != std::string::npos);
  const auto deeper = std::string(first.find('#'), ' ') + "#   ";
  do {
    text.erase(text.find('#', at), 2);
    at = text.find('\n', at) + 1;
  } while (text.compare(at, deeper.size(), deeper) == 0);
  return text;
}

// A reader of the reference would look for these words.
bool mentions(const std::string& text, const std::string& key) {
  const auto name = key.substr(key.find_last_of('.') + 1);
  return text.find(name + ":") != std::string::npos;
}

}  // namespace

TEST_CASE("reference: every value is the default") {
  const auto loaded = load_conf("reference.yaml");
  CHECK(loaded.notes.empty());
  const Config& c = *loaded.config;
  const Config defaults;
  CHECK(c.workers == defaults.workers);
  CHECK(c.spill_folder == defaults.spill_folder);
  CHECK(c.admin == defaults.admin);
  CHECK(c.metrics == defaults.metrics);
  CHECK(c.drain == defaults.drain);
  CHECK(c.access_log == defaults.access_log);
  CHECK(c.log == defaults.log);
  CHECK(c.limits == defaults.limits);
  CHECK(c.resolver == defaults.resolver);
  CHECK(c.watch == defaults.watch);
  CHECK(c.poll == defaults.poll);
  CHECK(c.ecs == defaults.ecs);

  REQUIRE(c.listeners.size() == 1);
  Listener listener;
  listener.address = c.listeners[0].address;
  CHECK(c.listeners[0] == listener);

  REQUIRE(c.upstreams.size() == 1);
  Upstream upstream;
  upstream.name = c.upstreams[0].name;
  upstream.endpoints = c.upstreams[0].endpoints;
  CHECK(c.upstreams[0] == upstream);

  REQUIRE(c.routes.size() == 5);
  Route forwarding;
  forwarding.name = "/";
  forwarding.upstream = "app";
  CHECK(c.routes[0] == forwarding);
  Route files;
  files.name = files.path = "/static/";
  files.action = Action::kStatic;
  files.files.root = "/";
  CHECK(c.routes[1] == files);
  Route redirect;
  redirect.name = redirect.path = "/old";
  redirect.action = Action::kRedirect;
  redirect.redirect.to = "/new$rest";
  CHECK(c.routes[2] == redirect);
  Route respond;
  respond.name = respond.path = "/teapot";
  respond.action = Action::kRespond;
  CHECK(c.routes[3] == respond);
  CHECK(c.routes[4].respond.health == Health::kReady);
}

TEST_CASE("reference: what stands in comments is the default where it is turned on") {
  const auto commented = cut(text_of(conf("reference.yaml")), "\ninclude: []\n");
  const auto health = uncomment(cut(commented, "    health: off\n"), "    # health:");
  const auto checked = load(uncomment(health, "    # sticky:"));
  CAPTURE(fault(checked));
  REQUIRE(checked.config);
  const Upstream& upstream = checked.config->upstreams[0];
  HealthCheck wanted;
  wanted.kind = HealthCheck::Kind::kRequest;
  wanted.path = "/health";
  CHECK(upstream.health == wanted);
  CHECK(upstream.sticky == Sticky{"sluice", 0s});

  const auto mapped =
      load(uncomment(cut(commented, "    endpoints: [127.0.0.1:8000]\n"), "    # endpoints:"));
  CAPTURE(fault(mapped));
  REQUIRE(mapped.config);
  const auto& endpoints = mapped.config->upstreams[0].endpoints;
  REQUIRE(endpoints.size() == 2);
  CHECK(endpoints[0].weight == EndpointSource{}.weight);
  CHECK(endpoints[0].priority == EndpointSource{}.priority);
  CHECK(endpoints[1].priority == 1);

  const auto scripted = load(uncomment(
      cut(commented, "    protocol: http1") + "\n    protocol: fastcgi\n", "    # fastcgi:"));
  CAPTURE(fault(scripted));
  REQUIRE(scripted.config);
  Fastcgi fastcgi;
  fastcgi.root = "/app/public";
  CHECK(scripted.config->upstreams[0].fastcgi == fastcgi);
  const auto secured = load(uncomment(cut(commented, "    tls: off "), "    # tls:"));
  CAPTURE(fault(secured));
  REQUIRE(secured.config);
  Tls tls;
  tls.enabled = true;
  tls.certificates = {{"a.pem", "a.key", "", {}}};
  CHECK(secured.config->listeners[0].tls == tls);

  const auto hashed = load(uncomment(
      cut(commented, "    balance: round_robin") + "\n    balance: ring_hash\n", "    # hash:"));
  CAPTURE(fault(hashed));
  REQUIRE(hashed.config);
  CHECK(hashed.config->upstreams[0].hash == HashKey{});
}

TEST_CASE("reference: without a key its value stays the same") {
  const auto least = load(
      "listeners: [ { address: 0.0.0.0:8080 } ]\n"
      "routes: [ { upstream: app } ]\nupstreams: { app: { endpoints: \"127.0.0.1:8000\" } }\n");
  const auto loaded = load_conf("reference.yaml");
  REQUIRE(least.config);
  Config wanted = *loaded.config;
  wanted.routes.resize(1);
  wanted.hash = least.config->hash;
  CHECK(*least.config == wanted);
}

TEST_CASE("reference: every key there is stands in it") {
  const auto text = text_of(conf("reference.yaml"));
  for (const auto& entry : describe_keys()) {
    CHECK_MESSAGE(mentions(text, entry.first), entry.first);
    for (const auto& word : entry.second) {
      CHECK_MESSAGE(text.find(word) != std::string::npos, entry.first, word);
    }
  }
}

TEST_CASE("schema: names exactly the keys and words that are read") {
  const auto read = describe_keys();
  const auto written = schema_keys();
  CHECK(read.size() > 140);
  for (const auto& entry : read) {
    const std::string& key = entry.first;
    CHECK_MESSAGE(written.count(key) == 1, "the schema lacks ", key);
    if (entry.second.empty() || written.count(key) == 0) continue;
    const std::set<std::string> ours{entry.second.begin(), entry.second.end()};
    const std::set<std::string> theirs{written.at(key).begin(), written.at(key).end()};
    CHECK_MESSAGE(ours == theirs, key);
  }
  for (const auto& entry : written) {
    CHECK_MESSAGE(read.count(entry.first) == 1, "nobody reads ", entry.first);
  }
}

TEST_CASE("conf: the founding case") {
  const auto loaded = load_conf("django-uwsgi.yaml");
  CHECK(loaded.notes.empty());
  const Config& c = *loaded.config;
  REQUIRE(c.listeners.size() == 1);
  CHECK(c.listeners[0].address.text == "0.0.0.0:8080");
  CHECK(c.listeners[0].trusted_proxies.size() == 3);
  REQUIRE(c.routes.size() == 3);
  CHECK(c.routes[0].respond.health == Health::kReady);
  CHECK(c.routes[1].files.root == "/vol/static");
  CHECK_FALSE(c.routes[1].files.cache_control.empty());
  CHECK(c.routes[2].upstream == "django");
  REQUIRE(c.upstreams.size() == 1);
  CHECK(c.upstreams[0].protocol == Protocol::kUwsgi);
  CHECK(c.upstreams[0].endpoints[0].address.text == "127.0.0.1:8000");
  CHECK(c.metrics.address->text == "0.0.0.0:9901");
}

TEST_CASE("conf: the founding case moves by variables") {
  const auto loaded = load_conf("django-uwsgi.yaml", {{"SLUICE_LISTEN", "127.0.0.1:0"},
                                                      {"SLUICE_STATIC_ROOT", "/srv/files"},
                                                      {"SLUICE_UPSTREAM", "unix:/tmp/app.sock"},
                                                      {"SLUICE_METRICS", "off"},
                                                      {"SLUICE_ADMIN", "/tmp/admin.sock"},
                                                      {"SLUICE_ACCESS_LOG", "/tmp/access.log"},
                                                      {"SLUICE_TRUSTED_PROXIES", "127.0.0.1"}});
  const Config& c = *loaded.config;
  CHECK(c.listeners[0].address.port == 0);
  CHECK(c.listeners[0].trusted_proxies.size() == 1);
  CHECK(c.routes[1].files.root == "/srv/files");
  CHECK(c.upstreams[0].endpoints[0].address.is_unix);
  CHECK_FALSE(c.metrics.address);
  CHECK(c.admin.socket == "/tmp/admin.sock");
  CHECK(c.access_log.path == "/tmp/access.log");
}

TEST_CASE("conf: gunicorn and the least that works") {
  const auto gunicorn = load_conf("django-gunicorn.yaml");
  CHECK(gunicorn.notes.empty());
  CHECK(gunicorn.config->upstreams[0].protocol == Protocol::kHttp1);
  CHECK(gunicorn.config->upstreams[0].pool.idle < 2s);
  CHECK(load_conf("minimal.yaml").notes.empty());
}

TEST_CASE("conf: an edge gateway finds its applications by name") {
  const auto loaded = load_conf("edge.yaml");
  CHECK(loaded.notes.empty());
  const Config& c = *loaded.config;
  REQUIRE(c.upstreams.size() == 2);
  const Upstream& web = c.upstreams[0];
  CHECK(web.endpoints.at(0).kind == EndpointSource::Kind::kDns);
  CHECK(web.balance == Balance::kPeakEwma);
  CHECK(web.sticky.cookie == "sluice_web");
  CHECK(web.health.kind == HealthCheck::Kind::kRequest);
  CHECK_FALSE(web.health.up_at_first);
  CHECK(web.ejection.latency == 5s);
  CHECK(web.hold.timeout == 15s);
  const Upstream& api = c.upstreams[1];
  CHECK(api.endpoints.at(0).kind == EndpointSource::Kind::kSrv);
  CHECK(api.endpoints.at(1).priority == 100);
  CHECK(c.routes[1].retry.idempotency_key);
  CHECK(c.resolver.servers.empty());
  const auto moved = load_conf("edge.yaml", {{"SLUICE_NAME_SERVERS", "10.0.0.2, 10.0.0.3"},
                                             {"SLUICE_WEB", "127.0.0.1:1, 127.0.0.1:2"},
                                             {"SLUICE_API", "127.0.0.1:3"}});
  CHECK(moved.config->resolver.servers.size() == 2);
  CHECK(moved.config->upstreams[0].endpoints.size() == 2);
}

TEST_CASE("dump: what is printed reads back as the same") {
  const auto rich = load(
      "listeners: [ { address: \"unix:/a b\", trusted_proxies: [10.0.0.0/8] },\n"
      "  { address: \":1\", tls: { certificates: [ { cert: \"a b\", key: c, ocsp: d }, { cert: e,\n"
      "    key: f } ], min_version: 1.3, client_ca: g, client_certificate: optional,\n"
      "    tickets: { keys: h, rotate: 90m } } },\n"
      "  { address: \":2\", tls: { self_signed: on } } ]\n"
      "metrics: { address: off }\nadmin: { socket: off }\nworkers: 3\n"
      "resolver: { servers: [\"[::1]:53\", 10.0.0.2], tries: 5 }\nwatch: on\n"
      "poll: { url: \"http://[::1]:2772/a?b\", interval: 5s }\n"
      "ecs: { metadata: off, application: \"a b\" }\n"
      "routes:\n"
      "  - { host: \"*.a.com\", regex: '/x\\d+\"', methods: [GET], headers: { A: 'b', C: ~ },\n"
      "      strip_prefix: /y, upstream: \"two\", buffering: off, body: 3MB, internal: on,\n"
      "      timeouts: { request: 90s }, \n"
      "      filters: [ { f: { a: [1, {b: ~}], \"c d\": 'x: y' } } ] }\n"
      "  - { exact: /한글, replace_prefix: /s, upstream: two,\n"
      "      retry: { methods: [POST, \"M#\"], idempotency_key: on } }\n"
      "  - { path: /r, redirect: \"/${x:-$path}$rest\" }\n"
      "  - { path: /s, respond: { status: 418, body: \"$${a}\\nb\\t\\x01\" } }\n"
      "  - { path: /h, respond: { health: live } }\n"
      "  - { path: /f, static: { root: /f, try_files: [$path], fallback: two, hidden: on,\n"
      "      cache_control: \"a, b\", types: { x: text/x } } }\n"
      "upstreams:\n"
      "  two: { endpoints: [\"[::1]:1\", \"127.0.0.1:2\"], max_in_flight: 2 }\n"
      "  names:\n"
      "    endpoints: [\"dns://a.:1\", \"srv://_a._tcp.b\",\n"
      "      { address: \"dns://c:1\", weight: 3 }, { address: unix:/d, backup: on },\n"
      "      { address: \"srv://d\", priority: 2 }]\n"
      "    balance: ring_hash\n"
      "    hash: { cookie: \"a#b\" }\n"
      "    sticky: { cookie: \"$x\", age: 90m }\n"
      "    panic: off\n"
      "    slow_start: 30s\n"
      "    health: { path: \"/h?a=${x:-b}\", method: POST, host: \"[::1]:80\",\n"
      "      status: [200, 300-399], body: \"\\\"ok\\\": \", interval: 1s, initial: down }\n"
      "    ejection: off\n"
      "    pool: { learn: off, unsafe_idle: 0 }\n"
      "    hold: { unhealthy_after: off, ramp: off }\n"
      "    retry: { backoff: 0, max_backoff: 5s, per_try: 1500ms }\n"
      "  tcp: { endpoints: [unix:/e], balance: random, health: { type: tcp, rise: 2 },\n"
      "      ejection: { rate: 10%, latency: 1s } }\n"
      "  by_header: { endpoints: [unix:/f], balance: ring_hash, hash: { header: X-A } }\n"
      "  by_address: { endpoints: [unix:/g], balance: ring_hash }\n");
  CAPTURE(fault(rich));
  REQUIRE(rich.config);
  for (const auto& loaded : {rich, load_conf("reference.yaml"), load_conf("django-uwsgi.yaml"),
                             load_conf("edge.yaml")}) {
    const auto text = dump(*loaded.config);
    CAPTURE(text);
    const auto again = load(text);
    CAPTURE(fault(again));
    REQUIRE(again.config);
    Config wanted = *loaded.config;
    wanted.hash = again.config->hash;
    CHECK(*again.config == wanted);
    CHECK(dump(*again.config) == text);
  }
}

}  // namespace sluice::config
