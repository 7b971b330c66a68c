#include "proxy/server/commands.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <utility>

#include <CLI/CLI.hpp>

#include "proxy/base/text.h"
#include "proxy/config/address.h"
#include "proxy/config/dump.h"
#include "proxy/config/load.h"
#include "proxy/config/units.h"
#include "proxy/server/commands_doctor.h"
#include "proxy/server/commands_endpoints.h"
#include "proxy/server/commands_plan.h"
#include "proxy/server/control_client.h"
#include "proxy/server/process.h"
#include "proxy/server/status_table.h"
#include "proxy/server/supervisor.h"

namespace sluice::server {
namespace {

constexpr Duration kOrderTimeout = std::chrono::seconds(30);
// The supervisor's own limit ends an upgrade; this is for when it cannot answer.
constexpr Duration kUpgradeTimeout = std::chrono::minutes(15);
constexpr Duration kDrainTimeout = std::chrono::hours(24);  // its own deadline comes first
constexpr Duration kHealthTimeout = std::chrono::seconds(2);
constexpr const char* kDefaultConfig = "/etc/sluice/sluice.yaml";
constexpr const char* kDefaultSocket = "/run/sluice/admin.sock";

struct Words {
  RunOptions run;
  std::string socket = kDefaultSocket;
  std::string health_address;
  bool json = false;
  bool print = false;
  bool no_files = false;
  bool wait = false;
  bool no_supervisor = false;
  std::string upgrade_timeout = "30s";
  SupervisorOptions supervisor;
};

config::Address unix_address(const std::string& path) {
  return {"unix:" + path, true, path, 0};
}

int complain(const std::string& text, int code) {
  std::fprintf(stderr, "sluice: %s\n", text.c_str());
  return code;
}

int check(const Words& words, const filter::Registry& filters) {
  config::Options how;
  how.filters = &filters;
  how.check_files = !words.no_files;
  const std::string file = words.run.config_file.empty() ? kDefaultConfig : words.run.config_file;
  const config::Loaded loaded = config::load_file(file, how);
  for (const std::string& note : loaded.notes) std::fprintf(stderr, "note: %s\n", note.c_str());
  std::vector<std::string> faults = loaded.faults;
  if (loaded.config != nullptr) {
    config::Faults more;
    observe::Metrics unused({});
    static_cast<void>(
        exchange::build_snapshot(loaded.config, filters, unused, nullptr, more, nullptr));
    if (!words.no_files) TlsStock::check(loaded.config->listeners, more);
    faults.insert(faults.end(), more.lines().begin(), more.lines().end());
  }
  for (const std::string& fault : faults) std::fprintf(stderr, "%s\n", fault.c_str());
  if (!faults.empty()) return 2;
  if (words.print) {
    std::fputs(config::dump(*loaded.config).c_str(), stdout);
  } else {
    std::printf("%s: well, hash %s\n", file.c_str(), loaded.config->hash.c_str());
  }
  return 0;
}

// Where a probe of this container finds the metrics listener: told, or from the configuration.
Result<config::Address> health_address(const Words& words) {
  if (!words.health_address.empty()) {
    auto told = config::parse_address(words.health_address, config::AddressUse::kListen);
    return told;
  }
  const std::string file = !words.run.config_file.empty()        ? words.run.config_file
                           : ::access(kDefaultConfig, R_OK) == 0 ? kDefaultConfig
                                                                 : "";
  config::Options how;
  how.check_files = false;
  const config::Loaded loaded = file.empty()
                                    ? config::Loaded{std::make_shared<config::Config>(), {}, {}, {}}
                                    : config::load_file(file, how);
  if (loaded.config == nullptr || !loaded.config->metrics.address) {
    return fail(ErrorCode::kInvalid, Side::kUs, "no metrics address to ask; give --address");
  }
  return *loaded.config->metrics.address;
}

int healthcheck(const Words& words) {
  auto address = health_address(words);
  if (!address) return complain(address.error().detail, 2);
  // What listens everywhere is asked here.
  if (address->host_or_path == "0.0.0.0") address->host_or_path = "127.0.0.1";
  if (address->host_or_path == "::") address->host_or_path = "::1";
  const auto answer = ask(*address, "GET", "/ready", kHealthTimeout);
  // Silent: its output is the container's health log.
  return answer && answer->status == 200 ? 0 : 1;
}

int order(const Words& words, const std::string& path) {
  const Duration timeout = path == "/upgrade"      ? kUpgradeTimeout
                           : path == "/drain/wait" ? kDrainTimeout
                                                   : kOrderTimeout;
  const auto answer = ask(unix_address(words.socket), "POST", path, timeout);
  if (!answer) return complain(answer.error().detail + " (is sluice running? --socket PATH)", 1);
  const bool well = answer->status == 200;
  std::fputs(answer->body.c_str(), well ? stdout : stderr);
  return well ? 0 : 1;
}

int status(const Words& words) {
  const auto answer = ask(unix_address(words.socket), "GET", "/status", kOrderTimeout);
  if (!answer) return complain(answer.error().detail + " (is sluice running? --socket PATH)", 1);
  const std::string text = words.json ? answer->body : status_table(answer->body);
  std::fputs(text.c_str(), stdout);
  return answer->status == 200 ? 0 : 1;
}

// From a supervisor that executed us; closed: there is none.
Result<Channel> inherited_channel() {
  const char* const told = std::getenv(kChannelVariable);
  if (told == nullptr) return Channel();
  const auto number = parse_decimal(told);
  ::unsetenv(kChannelVariable);
  if (!number || ::fcntl(static_cast<int>(*number), F_SETFD, FD_CLOEXEC) != 0) {
    return fail(ErrorCode::kInvalid, Side::kUs,
                std::string(kChannelVariable) + " is for a supervisor to set");
  }
  return Channel(Fd(static_cast<int>(*number)));
}

int serve(Words words, const filter::Registry& filters) {
  const auto timeout = config::parse_duration(words.upgrade_timeout);
  if (!timeout) return complain("--upgrade-timeout: " + timeout.error().detail, 2);
  auto channel = inherited_channel();
  if (!channel) return complain(channel.error().detail, 2);
  if (!channel->is_open() && !words.no_supervisor) {
    words.supervisor.upgrade_timeout = *timeout;
    Supervisor supervisor(std::move(words.supervisor));
    Supervisor::Return back = supervisor.run();
    if (back.exit_code) return *back.exit_code;
    *channel = std::move(back.channel);
  }
  Process process(std::move(words.run), filters, std::move(*channel));
  return process.run();
}

int run(Words words, const CLI::App& app, const filter::Registry& filters) {
  // The environment may name both (a config file that uses the variables itself): the file counts.
  const bool flags_given =
      app.get_option("--listen")->count() + app.get_option("--upstream")->count() > 0;
  if (words.run.config_file.empty() && !flags_given && ::access(kDefaultConfig, R_OK) == 0) {
    words.run.config_file = kDefaultConfig;
  }
  if (words.run.config_file.empty() && !flags_given) {
    return complain("run needs -c FILE, or --listen and --upstream (see `sluice run --help`)", 2);
  }
  return serve(std::move(words), filters);
}

void add_run(CLI::App& app, Words& words) {
  app.add_option("-c,--config", words.run.config_file, "configuration file")
      ->envname("SLUICE_CONFIG");
  app.add_option("--listen", words.run.flags.listen,
                 "without a file: address to listen on, \":8080\"")
      ->envname("SLUICE_LISTEN");
  app.add_option("--upstream", words.run.flags.upstream,
                 "without a file: uwsgi://127.0.0.1:8000, http://…, fastcgi://…, uwsgi+unix:/path")
      ->envname("SLUICE_UPSTREAM");
  app.add_option("--static", words.run.flags.statics,
                 "without a file: /static/=/vol/static, repeatable")
      ->envname("SLUICE_STATIC");
  app.add_option("--metrics", words.run.flags.metrics,
                 "without a file: metrics and health address, or off")
      ->envname("SLUICE_METRICS");
  app.add_option("--admin", words.run.flags.admin, "without a file: admin socket path")
      ->envname("SLUICE_ADMIN");
  app.add_option("--ready-file", words.run.ready_file,
                 "written (JSON) once connections are accepted")
      ->envname("SLUICE_READY_FILE");
  app.add_option("--tls-keylog", words.run.tls_key_log,
                 "write the secrets of TLS there, to look into recordings; never in production")
      ->envname("SLUICE_TLS_KEYLOG");
  app.add_flag("--no-supervisor", words.no_supervisor,
               "one process only: no restart after a crash, no upgrade")
      ->envname("SLUICE_NO_SUPERVISOR");
  app.add_option("--binary", words.supervisor.binary,
                 "what an upgrade starts; the path of this program when not given")
      ->envname("SLUICE_UPGRADE_BINARY");
  app.add_option("--upgrade-timeout", words.upgrade_timeout,
                 "how long an upgrade may take until the new process accepts")
      ->envname("SLUICE_UPGRADE_TIMEOUT")
      ->capture_default_str();
}

CLI::App& add_order(CLI::App& app, const std::string& name, const std::string& help, Words& words) {
  CLI::App& sub = *app.add_subcommand(name, help);
  sub.add_option("--socket", words.socket, "admin socket of the running sluice")
      ->envname("SLUICE_ADMIN")
      ->capture_default_str();
  return sub;
}

void add_orders(CLI::App& app, Words& words, std::function<int()>& chosen) {
  CLI::App& drain_app = add_order(app, "drain", "stop like SIGTERM does", words);
  drain_app.add_flag("--wait", words.wait, "until it is over; 1 when its deadline cut a request");
  drain_app.callback([&words, &chosen] {
    chosen = [&words] { return order(words, words.wait ? "/drain/wait" : "/drain"); };
  });
  for (const char* name : {"reload", "undrain", "reopen", "upgrade"}) {
    const std::string help =
        std::string(name) == "reload"    ? "read the configuration again, all or nothing"
        : std::string(name) == "undrain" ? "take a drain back while it only announces"
        : std::string(name) == "upgrade" ? "replace the running program by the one at its path"
                                         : "open the log files again";
    const std::string path = "/" + std::string(name);
    add_order(app, name, help, words).callback([&words, &chosen, path] {
      chosen = [&words, path] { return order(words, path); };
    });
  }
}

}  // namespace

int run_command(int argc, char** argv, const filter::Registry& filters,
                const std::string& version) {
  Words words;
  words.run.version = version;
  words.supervisor.command.assign(argv, argv + argc);
  words.supervisor.binary = path_of_program(argc > 0 ? argv[0] : nullptr);
  std::function<int()> chosen;
  CLI::App app("sluice: a reverse proxy and edge gateway that loses no request", "sluice");
  app.footer(
      "Exit codes: 0 well; 1 runtime failure, or a drain's deadline cut a request; 2 bad usage or\n"
      "configuration.");
  app.set_version_flag("--version", "sluice " + version);
  app.require_subcommand(1);

  CLI::App& run_app =
      *app.add_subcommand("run", "serve until SIGTERM, SIGQUIT or SIGINT, which drain");
  add_run(run_app, words);
  run_app.callback([&] { chosen = [&] { return run(words, run_app, filters); }; });

  CLI::App& check_app = *app.add_subcommand("check", "read a configuration and name every fault");
  check_app
      .add_option("-c,--config", words.run.config_file,
                  "configuration file; " + std::string(kDefaultConfig) + " when not given")
      ->envname("SLUICE_CONFIG");
  check_app.add_flag("--no-files", words.no_files, "folders that it names need not be there");
  check_app.add_flag("--print", words.print, "print the effective configuration");
  check_app.callback([&] { chosen = [&] { return check(words, filters); }; });

  CLI::App& health_app =
      *app.add_subcommand("healthcheck", "exit 0 when ready, 1 when not; prints nothing");
  health_app.add_option("-c,--config", words.run.config_file, "where to read the metrics address")
      ->envname("SLUICE_CONFIG");
  health_app.add_option("--address", words.health_address, "metrics address to ask")
      ->envname("SLUICE_METRICS");
  health_app.callback([&] { chosen = [&] { return healthcheck(words); }; });

  add_orders(app, words, chosen);
  add_endpoints(app, chosen);
  add_doctor(app, filters, chosen);
  CLI::App& status_app = add_order(app, "status", "what the running sluice does", words);
  status_app.add_flag("--json", words.json, "for programs");
  status_app.callback([&] { chosen = [&] { return status(words); }; });

  add_plan(app, filters, chosen);

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  return chosen();
}

}  // namespace sluice::server
