#include "proxy/server/status_table.h"

#include <sstream>

#include <nlohmann/json.hpp>

namespace sluice::server {
namespace {

using Json = nlohmann::json;

// The other end may be another version: what is not there, or of another kind, reads as nothing.
const Json& part(const Json& of, const char* key) {
  static const Json nothing;
  if (!of.is_object()) return nothing;
  const auto at = of.find(key);
  return at == of.end() ? nothing : *at;
}

std::string text(const Json& of, const char* key) {
  const Json& found = part(of, key);
  return found.is_string() ? found.get<std::string>() : std::string{};
}

std::string number(const Json& of, const char* key) {
  const Json& found = part(of, key);
  return found.is_number() ? found.dump() : "?";
}

const Json& list(const Json& of, const char* key) {
  static const Json none = Json::array();
  const Json& found = part(of, key);
  return found.is_array() ? found : none;
}

void line(std::ostringstream& out, std::string_view name, const std::string& value) {
  out << name << std::string(14 - name.size(), ' ') << value << "\n";
}

}  // namespace

std::string status_table(const std::string& json) {
  const auto status = Json::parse(json, nullptr, false);
  if (!status.is_object()) return json;
  std::ostringstream out;
  line(out, "sluice",
       text(status, "version") + ", pid " + number(status, "pid") + ", up " +
           number(status, "uptime_seconds") + " s, " + number(status, "workers") + " workers");
  const bool ready = part(status, "ready") == true;
  line(out, "state", text(status, "state") + (ready ? ", ready" : ", not ready"));
  const Json& config = part(status, "config");
  line(out, "config",
       text(config, "file") + " (generation " + number(config, "generation") + ", " +
           text(config, "hash") + ")");
  line(out, "requests",
       number(status, "requests") + " served, " + number(status, "in_flight") + " in flight, " +
           number(status, "held") + " held");
  line(out, "connections", number(status, "connections"));
  for (const Json& listener : list(status, "listeners")) {
    line(out, "listener",
         text(listener, "address") + ", " + number(listener, "connections") + " connections");
  }
  for (const Json& upstream : list(status, "upstreams")) {
    std::string endpoints;
    for (const Json& endpoint : list(upstream, "endpoints")) {
      const std::string state = text(endpoint, "state");
      endpoints += " " + text(endpoint, "address") + (state.empty() ? "" : " (" + state + ")");
    }
    line(out, "upstream",
         text(upstream, "name") + " (" + text(upstream, "protocol") + ")" + endpoints);
  }
  return out.str();
}

}  // namespace sluice::server
