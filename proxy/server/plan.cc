#include "proxy/server/plan.h"

#include <algorithm>
#include <array>
#include <string_view>

#include <nlohmann/json.hpp>

namespace sluice::server {
namespace {

using config::Change;
using Json = nlohmann::json;

constexpr size_t kLongestValue = 120;
constexpr size_t kNoteColumn = 44;

// section.key of what is fixed at birth.
constexpr std::array<std::string_view, 5> kRestart = {"workers", "metrics.buckets", "limits.memory",
                                                      "limits.clients", "access_log.buffer"};

std::string path_of(const Change& change) {
  std::string path = change.section;
  if (!change.key.empty()) path += "." + change.key;
  return path;
}

std::string shortened(const std::string& value) {
  if (value.size() <= kLongestValue) return value;
  return value.substr(0, kLongestValue) + "…";
}

// Of the listener of that name; empty: unknown.
std::string connections_of(const std::string& listener, const Json& status) {
  const auto all = status.find("listeners");
  if (all == status.end() || !all->is_array()) return {};
  for (const Json& one : *all) {
    if (!one.is_object() || !one.contains("name") || one["name"] != listener) continue;
    if (!one.contains("connections") || !one["connections"].is_number()) continue;
    const std::string count = one["connections"].dump();
    return count + (count == "1" ? " connection" : " connections");
  }
  return {};
}

std::string listener_note(const Change& change, const Json& status) {
  const std::string counted = connections_of(change.subject, status);
  const std::string connections = counted.empty() ? "its connections" : counted;
  switch (change.kind) {
    case Change::Kind::kAdded: return "opened before anything else changes";
    case Change::Kind::kRemoved: return connections + " drain";
    case Change::Kind::kChanged: break;
  }
  if (change.key == "backlog") return "";
  return connections + ": from the next request on";
}

std::string upstream_note(const Change& change) {
  const bool whole = change.key.empty();
  if (change.kind == Change::Kind::kRemoved) {
    return whole || change.key == "endpoints" ? "its requests end, idle connections close" : "";
  }
  if (change.kind == Change::Kind::kAdded) return "";
  if (change.key == "protocol") return "begins anew: no connection is carried over";
  return "";
}

std::string note_of(const Change& change, const Json& status) {
  if (needs_restart(change)) return "needs a restart";
  if (change.section == "listeners") return listener_note(change, status);
  if (change.section == "upstreams") return upstream_note(change);
  const bool opened = path_of(change) == "metrics.address" || path_of(change) == "admin.socket";
  if (opened) return "the new one is opened first";
  return "";
}

std::string line_of(const Change& change, const Json& status) {
  std::string line = "  ";
  line += change.kind == Change::Kind::kAdded     ? '+'
          : change.kind == Change::Kind::kRemoved ? '-'
                                                  : '~';
  for (const std::string& word : {change.subject, change.key}) {
    if (!word.empty()) line += " " + word;
  }
  if (change.kind == Change::Kind::kChanged) {
    if (change.subject.empty() && change.key.empty()) line += " " + change.section;
    line += ": " + shortened(change.before.empty() ? "(none)" : change.before) + " -> " +
            shortened(change.after.empty() ? "(none)" : change.after);
  } else if (!change.key.empty()) {
    line += ": " + shortened(change.before + change.after);
  }
  const std::string note = note_of(change, status);
  if (note.empty()) return line + "\n";
  if (line.size() < kNoteColumn) line.resize(kNoteColumn, ' ');
  return line + "  # " + note + "\n";
}

}  // namespace

bool needs_restart(const Change& change) {
  return std::find(kRestart.begin(), kRestart.end(), path_of(change)) != kRestart.end();
}

std::string plan_text(const std::vector<Change>& changes, const std::string& status) {
  if (changes.empty()) return "nothing would change\n";
  Json known = Json::parse(status, nullptr, false);
  if (!known.is_object()) known = Json::object();
  std::string text;
  std::string section;
  size_t restarts = 0;
  for (const Change& change : changes) {
    if (change.section != section) text += change.section + "\n";
    section = change.section;
    restarts += needs_restart(change) ? 1 : 0;
    text += line_of(change, known);
  }
  text += std::to_string(changes.size()) + (changes.size() == 1 ? " change" : " changes");
  if (restarts > 0) {
    text += ", " + std::to_string(restarts) + " of them " +
            (restarts == 1 ? "needs a restart" : "need a restart");
  }
  return text + "\n";
}

}  // namespace sluice::server
