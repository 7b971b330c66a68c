#include "proxy/server/status_table.h"

#include <sstream>

#include <nlohmann/json.hpp>

namespace sluice::server {
namespace {

void line(std::ostringstream& out, const char* name, const std::string& value) {
  out << name << std::string(14 - std::string_view(name).size(), ' ') << value << "\n";
}

std::string number(const nlohmann::json& value) {
  return value.dump();
}

}  // namespace

std::string status_table(const std::string& json) {
  const auto status = nlohmann::json::parse(json, nullptr, false);
  if (!status.is_object()) return json;
  std::ostringstream out;
  line(out, "sluice",
       status.value("version", "") + ", pid " + number(status["pid"]) + ", up " +
           number(status["uptime_seconds"]) + " s, " + number(status["workers"]) + " workers");
  line(out, "state",
       status.value("state", "") + (status.value("ready", false) ? ", ready" : ", not ready"));
  const auto& config = status["config"];
  line(out, "config",
       config.value("file", "") + " (generation " + number(config["generation"]) + ", " +
           config.value("hash", "") + ")");
  line(out, "requests",
       number(status["requests"]) + " served, " + number(status["in_flight"]) + " in flight, " +
           number(status["held"]) + " held");
  line(out, "connections", number(status["connections"]));
  for (const auto& listener : status["listeners"]) {
    line(out, "listener",
         listener.value("address", "") + ", " + number(listener["connections"]) + " connections");
  }
  for (const auto& upstream : status["upstreams"]) {
    std::string endpoints;
    for (const auto& endpoint : upstream["endpoints"])
      endpoints += " " + endpoint.value("address", "");
    line(out, "upstream",
         upstream.value("name", "") + " (" + upstream.value("protocol", "") + ")" + endpoints);
  }
  return out.str();
}

}  // namespace sluice::server
