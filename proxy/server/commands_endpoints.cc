#include "proxy/server/commands_endpoints.h"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <vector>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "proxy/server/control_client.h"

namespace sluice::server {
namespace {

constexpr Duration kPatience = std::chrono::seconds(10);
constexpr const char* kDefaultSocket = "/run/sluice/admin.sock";

struct Words {
  std::string socket = kDefaultSocket;
  std::string upstream;
  std::string address;
  uint32_t weight = 0;
  uint32_t priority = 0;
  bool backup = false;
  bool json = false;
};

// RFC 3986 §2.3: what needs no escape.
std::string escaped(const std::string& text) {
  constexpr std::string_view kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";
  std::string out;
  for (const char c : text) {
    char escape[4] = {c, 0, 0, 0};
    if (kPlain.find(c) == std::string_view::npos) {
      std::snprintf(escape, sizeof escape, "%%%02X", static_cast<unsigned char>(c));
    }
    out += escape;
  }
  return out;
}

Result<ControlAnswerText> ask_running(const Words& words, const char* method,
                                      const std::string& target) {
  return ask({"unix:" + words.socket, true, words.socket, 0}, method, target, kPatience);
}

int complain(const std::string& text) {
  std::fprintf(stderr, "sluice: %s\n", text.c_str());
  return 1;
}

int list(const Words& words) {
  const auto answer = ask_running(words, "GET", "/status");
  if (!answer) return complain(answer.error().detail + " (is sluice running? --socket PATH)");
  if (words.json) {
    const auto status = nlohmann::json::parse(answer->body, nullptr, false);
    const bool known = status.is_object() && status.contains("upstreams");
    std::printf("%s\n", known ? status["upstreams"].dump().c_str() : "[]");
    return 0;
  }
  const std::string table = endpoint_table(answer->body, words.upstream);
  if (table.empty()) return complain("there is no upstream \"" + words.upstream + "\"");
  std::fputs(table.c_str(), stdout);
  return 0;
}

int order(const Words& words, const std::string& verb) {
  std::string target = "/upstreams/" + escaped(words.upstream) + "/endpoints/" + verb +
                       "?address=" + escaped(words.address);
  if (words.weight > 0) target += "&weight=" + std::to_string(words.weight);
  if (words.priority > 0) target += "&priority=" + std::to_string(words.priority);
  if (words.backup) target += "&backup=true";
  const auto answer = ask_running(words, "POST", target);
  if (!answer) return complain(answer.error().detail + " (is sluice running? --socket PATH)");
  const bool well = answer->status == 200;
  std::fputs(answer->body.c_str(), well ? stdout : stderr);
  return well ? 0 : 1;
}

void add_socket(CLI::App& sub, Words& words) {
  sub.add_option("--socket", words.socket, "admin socket of the running sluice")
      ->envname("SLUICE_ADMIN")
      ->capture_default_str();
}

std::string text_of(const nlohmann::json& of, const char* key) {
  const auto at = of.find(key);
  if (at == of.end()) return "-";
  return at->is_string() ? at->get<std::string>() : at->dump();
}

std::string aligned(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string out;
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      out += row[i];
      if (i + 1 < row.size()) out += std::string(widths[i] - row[i].size() + 2, ' ');
    }
    out += "\n";
  }
  return out;
}

}  // namespace

// The other end may be another version: what is not there, or of another kind, reads as "-".
std::string endpoint_table(const std::string& json, const std::string& upstream) {
  const auto status = nlohmann::json::parse(json, nullptr, false);
  std::vector<std::vector<std::string>> rows = {
      {"UPSTREAM", "ENDPOINT", "STATE", "WEIGHT", "PRIORITY", "IN FLIGHT", "KEEP-ALIVE", "SOURCE"}};
  bool found = upstream.empty();
  const auto upstreams = status.is_object() ? status.find("upstreams") : status.end();
  if (upstreams == status.end()) return "";
  for (const auto& one : *upstreams) {
    if (!one.is_object() || (!upstream.empty() && text_of(one, "name") != upstream)) continue;
    found = true;
    const std::string name = text_of(one, "name");
    const auto endpoints = one.find("endpoints");
    if (endpoints != one.end() && endpoints->is_array()) {
      for (const auto& each : *endpoints) {
        if (!each.is_object()) continue;
        const bool ejected = each.contains("ejected");
        rows.push_back(
            {name, text_of(each, "address"), text_of(each, "state") + (ejected ? ", ejected" : ""),
             text_of(each, "weight"), text_of(each, "priority"), text_of(each, "in_flight"),
             text_of(each, "seen_keep_alive_seconds"), text_of(each, "source")});
      }
    }
    const auto names = one.find("names");
    if (names == one.end() || !names->is_array()) continue;
    for (const auto& each : *names) {
      if (!each.is_object() || !each.contains("trouble")) continue;
      rows.push_back({name, text_of(each, "name"), text_of(each, "trouble")});
    }
  }
  return found ? aligned(rows) : "";
}

void add_endpoints(CLI::App& app, std::function<int()>& chosen) {
  const auto words = std::make_shared<Words>();
  CLI::App& all = *app.add_subcommand("endpoints", "list the endpoints of the running sluice");
  all.add_option("upstream", words->upstream, "only this upstream's");
  all.add_flag("--json", words->json, "for programs");
  add_socket(all, *words);
  all.callback([words, &chosen] { chosen = [words] { return list(*words); }; });

  CLI::App& one = *app.add_subcommand("endpoint", "change the endpoints of the running sluice");
  one.require_subcommand(1);
  const std::pair<const char*, const char*> verbs[] = {
      {"add", "use this address as well, until a reload that lists other endpoints"},
      {"remove", "use it no more; what runs there ends"},
      {"drain", "send nothing new there"},
      {"undrain", "use it again"},
      {"weight", "its share beside the others'"}};
  for (const auto& [verb, help] : verbs) {
    CLI::App& sub = *one.add_subcommand(verb, help);
    sub.add_option("upstream", words->upstream, "name of the upstream")->required();
    sub.add_option("address", words->address, "10.0.0.7:8000 or unix:/run/app.sock")->required();
    const std::string name = verb;
    if (name == "add" || name == "weight") {
      CLI::Option* weight = sub.add_option("weight", words->weight, "1 to 65535");
      if (name == "weight") weight->required();
    }
    if (name == "add") {
      sub.add_option("--priority", words->priority, "lower numbers are asked first; 0");
      sub.add_flag("--backup", words->backup, "only when no other is there: priority 1");
    }
    add_socket(sub, *words);
    sub.callback(
        [words, name, &chosen] { chosen = [words, name] { return order(*words, name); }; });
  }
}

}  // namespace sluice::server
