#include "proxy/server/commands_plan.h"

#include <cstdio>
#include <memory>
#include <string>

#include <CLI/CLI.hpp>

#include "proxy/config/diff.h"
#include "proxy/config/dump.h"
#include "proxy/config/load.h"
#include "proxy/server/control_client.h"
#include "proxy/server/plan.h"

namespace sluice::server {
namespace {

constexpr Duration kPatience = std::chrono::seconds(30);
constexpr int kChanges = 3;

struct Words {
  std::string config = "/etc/sluice/sluice.yaml";
  std::string socket = "/run/sluice/admin.sock";
  std::string old_file;
  bool exit_code = false;
  bool no_files = false;
};

int complain(const std::string& text, int code) {
  std::fprintf(stderr, "%s\n", text.c_str());
  return code;
}

// What the file says, all of it; empty after every fault was told.
std::string dump_of(const std::string& file, const Words& words, const filter::Registry& filters) {
  config::Options how;
  how.filters = &filters;
  how.check_files = !words.no_files;
  const config::Loaded loaded = config::load_file(file, how);
  for (const std::string& fault : loaded.faults) complain(fault, 2);
  return loaded.config == nullptr ? std::string{} : config::dump(*loaded.config);
}

int print(const std::string& before, const std::string& after, const std::string& status,
          const Words& words) {
  const auto was = config::tree_of(before);
  if (!was) return complain("sluice: the running configuration: " + was.error().detail, 1);
  const auto will_be = config::tree_of(after);
  if (!will_be) return complain("sluice: " + will_be.error().detail, 2);
  const auto changes = config::diff(*was, *will_be);
  std::fputs(plan_text(changes, status).c_str(), stdout);
  return words.exit_code && !changes.empty() ? kChanges : 0;
}

int plan(const Words& words, const filter::Registry& filters) {
  const std::string after = dump_of(words.config, words, filters);
  if (after.empty()) return 2;
  if (!words.old_file.empty()) {
    const std::string before = dump_of(words.old_file, words, filters);
    return before.empty() ? 2 : print(before, after, "", words);
  }
  const config::Address address{"unix:" + words.socket, true, words.socket, 0};
  const auto running = ask(address, "GET", "/config", kPatience);
  if (!running) {
    return complain("sluice: " + running.error().detail +
                        " (is sluice running? --socket PATH, or --offline OLD)",
                    1);
  }
  if (running->status != 200) return complain("sluice: " + running->body, 1);
  const auto status = ask(address, "GET", "/status", kPatience);
  return print(running->body, after, status ? status->body : "", words);
}

}  // namespace

void add_plan(CLI::App& app, const filter::Registry& filters, std::function<int()>& chosen) {
  auto words = std::make_shared<Words>();
  CLI::App& sub = *app.add_subcommand("plan", "print what a reload would change");
  sub.add_option("-c,--config", words->config, "the configuration to come")
      ->envname("SLUICE_CONFIG")
      ->capture_default_str();
  sub.add_option("--socket", words->socket, "admin socket of the running sluice")
      ->envname("SLUICE_ADMIN")
      ->capture_default_str();
  sub.add_option("--offline", words->old_file, "compare with this file, ask nobody");
  sub.add_flag("--exit-code", words->exit_code, "3 when something would change, 0 when not");
  sub.add_flag("--no-files", words->no_files, "folders that the files name need not be there");
  sub.callback(
      [words, &filters, &chosen] { chosen = [words, &filters] { return plan(*words, filters); }; });
}

}  // namespace sluice::server
