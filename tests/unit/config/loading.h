// What the tests of this room share: load a text, and ask for its faults.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "proxy/config/load.h"

namespace sluice::config {

// The variables given, and no others.
inline Environment environment(std::map<std::string, std::string> variables = {}) {
  return [variables](std::string_view name) -> std::optional<std::string> {
    const auto found = variables.find(std::string{name});
    if (found == variables.end()) return std::nullopt;
    return found->second;
  };
}

inline Options options(std::map<std::string, std::string> variables = {}) {
  Options made;
  made.environment = environment(std::move(variables));
  made.check_files = false;
  return made;
}

inline Loaded load(const std::string& text, const Options& with = options()) {
  return load_text(text, "t.yaml", with);
}

// A whole configuration around one part of it.
inline std::string with_top(const std::string& lines) {
  return lines +
         "\nlisteners: [ { address: \":0\" } ]\n"
         "routes: [ { path: /, upstream: app } ]\n"
         "upstreams: { app: { endpoints: [ \"127.0.0.1:1\" ] } }\n";
}
inline std::string with_route(const std::string& route) {
  return "routes:\n  - " + route +
         "\nlisteners: [ { address: \":0\" } ]\n"
         "upstreams: { app: { endpoints: [ \"127.0.0.1:1\" ] } }\n";
}
inline std::string with_listener(const std::string& listener) {
  return "listeners:\n  - " + listener +
         "\nroutes: [ { path: /, upstream: app } ]\n"
         "upstreams: { app: { endpoints: [ \"127.0.0.1:1\" ] } }\n";
}
inline std::string with_upstream(const std::string& settings) {
  return "upstreams:\n  app: { " + settings +
         " }\nlisteners: [ { address: \":0\" } ]\n"
         "routes: [ { path: /, upstream: app } ]\n";
}

// The only fault there is; what else there was when it was not the only one.
inline std::string fault(const Loaded& loaded) {
  if (loaded.faults.size() == 1 && !loaded.config) return loaded.faults[0];
  std::string all = "(" + std::to_string(loaded.faults.size()) + " faults)";
  for (const auto& line : loaded.faults) all += "\n" + line;
  return all;
}
inline std::string fault(const std::string& text) { return fault(load(text)); }

}  // namespace sluice::config
