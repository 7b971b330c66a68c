#include "proxy/server/commands_doctor.h"

#include <sys/resource.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "proxy/base/text.h"
#include "proxy/config/load.h"
#include "proxy/config/units.h"
#include "proxy/server/cpus.h"
#include "proxy/server/doctor.h"

namespace sluice::server {
namespace {

struct Words {
  std::string config = "/etc/sluice/sluice.yaml";
  std::string task_definition;
  std::string container = "sluice";
  std::string balancer_idle = "60s";
  std::string deregistration_delay;
  bool json = false;
};

int complain(const std::string& text) {
  std::fprintf(stderr, "sluice: %s\n", text.c_str());
  return 2;
}

std::optional<std::string> file_text(const std::string& path) {
  std::ifstream file(path);
  if (!file) return std::nullopt;
  return std::string(std::istreambuf_iterator<char>(file), {});
}

std::string_view name_of(Finding::Weight weight) {
  switch (weight) {
    case Finding::Weight::kFault: return "fault";
    case Finding::Weight::kWarning: return "warning";
    case Finding::Weight::kNote: return "note";
  }
  return "note";
}

void look_at_machine(Surroundings& around) {
  rlimit limit{};
  // The hard one: sluice raises the soft one at its start.
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) around.open_files = limit.rlim_max;
  const auto somaxconn = file_text("/proc/sys/net/core/somaxconn");
  const auto value =
      somaxconn ? parse_decimal(somaxconn->substr(0, somaxconn->find('\n'))) : std::nullopt;
  if (value) around.somaxconn = *value;
  around.cpus = usable_cpus();
}

Result<Surroundings> surroundings_of(const Words& words) {
  Surroundings around;
  around.container = words.container;
  const auto idle = config::parse_duration(words.balancer_idle);
  if (!idle) return tl::unexpected(idle.error());
  around.balancer_idle = *idle;
  if (!words.deregistration_delay.empty()) {
    const auto delay = config::parse_duration(words.deregistration_delay);
    if (!delay) return tl::unexpected(delay.error());
    around.deregistration_delay = *delay;
  }
  look_at_machine(around);
  if (words.task_definition.empty()) return around;
  const auto text = file_text(words.task_definition);
  if (!text) return fail(ErrorCode::kNotFound, Side::kUs, "cannot read " + words.task_definition);
  auto task = parse_task_definition(*text);
  if (!task) {
    return fail(task.error().code, Side::kUs, words.task_definition + ": " + task.error().detail);
  }
  around.task = std::move(*task);
  return around;
}

void print_table(const std::vector<Finding>& findings) {
  for (const Finding& finding : findings) {
    std::printf("%s: %s\n  -> %s\n", std::string(name_of(finding.weight)).c_str(),
                finding.what.c_str(), finding.remedy.c_str());
  }
  if (findings.empty()) std::printf("nothing to complain of\n");
}

void print_json(const std::vector<Finding>& findings) {
  nlohmann::json all = nlohmann::json::array();
  for (const Finding& finding : findings) {
    all.push_back(
        {{"weight", name_of(finding.weight)}, {"what", finding.what}, {"remedy", finding.remedy}});
  }
  std::printf("%s\n", all.dump(2).c_str());
}

// The configuration's variables are those the container will have.
void take_environment(const Surroundings& around) {
  const ContainerDefinition* own = around.task ? around.task->find(around.container) : nullptr;
  if (own == nullptr) return;
  for (const auto& [name, value] : own->environment) {
    if (!name.empty()) ::setenv(name.c_str(), value.c_str(), 1);
  }
}

int doctor(const Words& words, const filter::Registry& filters) {
  const auto around = surroundings_of(words);
  if (!around) return complain(around.error().detail);
  take_environment(*around);
  config::Options how;
  how.filters = &filters;
  how.check_files = false;  // it may be another machine's
  const config::Loaded loaded = config::load_file(words.config, how);
  for (const std::string& fault : loaded.faults) std::fprintf(stderr, "%s\n", fault.c_str());
  if (loaded.config == nullptr) return 2;
  const std::vector<Finding> findings = examine(*loaded.config, *around);
  words.json ? print_json(findings) : print_table(findings);
  return !findings.empty() && findings.front().weight == Finding::Weight::kFault ? 1 : 0;
}

}  // namespace

void add_doctor(CLI::App& app, const filter::Registry& filters, std::function<int()>& chosen) {
  CLI::App& sub = *app.add_subcommand(
      "doctor", "compare the numbers of balancer, task, sluice and application");
  const auto words = std::make_shared<Words>();
  sub.add_option("-c,--config", words->config, "configuration file")
      ->envname("SLUICE_CONFIG")
      ->capture_default_str();
  sub.add_option("--task-definition", words->task_definition,
                 "JSON, as register-task-definition takes or describe-task-definition prints it");
  sub.add_option("--container", words->container, "which of its containers is sluice")
      ->capture_default_str();
  sub.add_option("--balancer-idle", words->balancer_idle, "idle timeout of the balancer in front")
      ->capture_default_str();
  sub.add_option("--deregistration-delay", words->deregistration_delay,
                 "of the target group, as in 300s");
  sub.add_flag("--json", words->json, "for programs");
  sub.callback([words, &filters, &chosen] {
    chosen = [words, &filters] { return doctor(*words, filters); };
  });
}

}  // namespace sluice::server
