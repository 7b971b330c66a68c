#include "proxy/server/doctor.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <string>

#include <doctest/doctest.h>

using namespace sluice;
using namespace sluice::server;
using namespace std::chrono_literals;
using Weight = Finding::Weight;

namespace {

// Numbers that agree with each other; each case below breaks one.
struct Case {
  config::Config config;
  Surroundings around;

  Case() {
    config::Listener listener;
    listener.address = {"0.0.0.0:8080", false, "0.0.0.0", 8080};
    listener.trusted_proxies.push_back({});
    config.listeners.push_back(listener);
    config::Route ready;
    ready.action = config::Action::kRespond;
    ready.respond.health = config::Health::kReady;
    config.routes.push_back(ready);
    config::Upstream upstream;
    upstream.name = "django";
    upstream.max_in_flight = 4;
    config.upstreams.push_back(upstream);
    ContainerDefinition app;
    app.name = "django";
    app.command = {"gunicorn", "-w", "4", "shop.wsgi"};
    app.stop_timeout = 60s;
    ContainerDefinition own;
    own.name = "sluice";
    own.depends_on = {{"django", "START"}};
    own.health_check = {"CMD", "/sluice", "healthcheck"};
    own.stop_timeout = 30s;
    own.read_only = true;
    own.open_files = 65535;
    around.task = TaskDefinition{0.25, {app, own}};
    around.deregistration_delay = 30s;
    around.somaxconn = 4096;
  }
  config::Upstream& upstream() { return config.upstreams[0]; }
  ContainerDefinition& app() { return around.task->containers[0]; }
  ContainerDefinition& own() { return around.task->containers[1]; }
};

struct Row {
  const char* name;
  std::function<void(Case&)> spoil;
  Weight weight;
  const char* what;  // occurs in the finding
};

const Row kRows[] = {
    {"idle", [](Case& c) { c.config.listeners[0].timeouts.idle = 60s; }, Weight::kFault,
     "closes idle connections after 1m"},
    {"trust", [](Case& c) { c.config.listeners[0].trusted_proxies.clear(); }, Weight::kWarning,
     "trusts no proxy"},
    {"somaxconn", [](Case& c) { c.around.somaxconn = 128; }, Weight::kNote,
     "the kernel allows 128"},
    {"deadline", [](Case& c) { c.config.drain.deadline = 29s; }, Weight::kFault, "drain.deadline"},
    {"default stop", [](Case& c) { c.own().stop_timeout.reset(), c.config.drain.deadline = 40s; },
     Weight::kFault, "kills container sluice after 30s"},
    {"max", [](Case& c) { c.config.drain.max = 28s; }, Weight::kWarning, "leaves running requests"},
    {"delay short", [](Case& c) { c.around.deregistration_delay = 2s; }, Weight::kWarning,
     "shorter than drain.min"},
    {"delay long", [](Case& c) { c.around.deregistration_delay = 300s; }, Weight::kNote,
     "deregistration delay is 5m"},
    {"no readiness", [](Case& c) { c.config.routes.clear(); }, Weight::kWarning,
     "no route answers"},
    {"reversed",
     [](Case& c) {
       c.own().depends_on.clear(), c.app().depends_on = {{"sluice", "START"}};
     },
     Weight::kFault, "container django depends on sluice"},
    {"no order", [](Case& c) { c.own().depends_on.clear(); }, Weight::kFault, "does not depend on"},
    {"healthy", [](Case& c) { c.own().depends_on[0].condition = "HEALTHY"; }, Weight::kNote,
     "waits until django is HEALTHY"},
    {"no check", [](Case& c) { c.own().health_check.clear(); }, Weight::kWarning, "no healthCheck"},
    {"shell check",
     [](Case& c) {
       c.own().health_check = {"CMD-SHELL", "curl x"};
     },
     Weight::kFault, "needs a shell"},
    {"writable", [](Case& c) { c.own().read_only = false; }, Weight::kNote, "writable root"},
    {"root", [](Case& c) { c.own().user = "0:0"; }, Weight::kWarning, "runs as root"},
    {"container", [](Case& c) { c.around.container = "proxy"; }, Weight::kFault,
     "no container proxy"},
    {"spot", [](Case& c) { c.app().stop_timeout = 90s; }, Weight::kNote, "Spot notice"},
    {"uwsgi term",
     [](Case& c) {
       c.app().command = {"uwsgi", "-p", "4", "-b", "32768"};
     },
     Weight::kFault, "takes SIGTERM for a reload"},
    {"shell",
     [](Case& c) {
       c.app().command = {"sh", "-c", "gunicorn -w 4 shop.wsgi"};
     },
     Weight::kWarning, "keeps the signal"},
    {"graceful", [](Case& c) { c.app().command.push_back("--graceful-timeout=60"); },
     Weight::kWarning, "gives running requests 1m"},
    {"unlimited", [](Case& c) { c.upstream().max_in_flight = 0; }, Weight::kWarning, "is off"},
    {"too many", [](Case& c) { c.upstream().max_in_flight = 9; }, Weight::kWarning,
     "has 4 workers"},
    {"too few", [](Case& c) { c.upstream().max_in_flight = 2; }, Weight::kNote, "never have work"},
    {"pool",
     [](Case& c) {
       c.app().command = {"gunicorn", "--threads", "4", "--keep-alive", "1", "shop.wsgi"};
     },
     Weight::kFault, "pool.idle is 1s"},
    {"patience", [](Case& c) { c.app().command.push_back("--timeout=90"); }, Weight::kWarning,
     "the application itself allows"},
    {"block",
     [](Case& c) {
       c.upstream().protocol = config::Protocol::kUwsgi;
       c.app().command = {"uwsgi", "-p", "4", "--die-on-term"};
     },
     Weight::kWarning, "heads of 4096 bytes"},
    {"hold", [](Case& c) { c.upstream().hold.timeout = 60s; }, Weight::kWarning,
     "the balancer gives up"},
    {"first byte", [](Case& c) { c.upstream().timeouts.first_byte = 90s; }, Weight::kNote,
     "answers 504"},
    {"files", [](Case& c) { c.own().open_files = 1024; }, Weight::kNote, "the limit is 1024"},
    {"workers", [](Case& c) { c.config.workers = 2; }, Weight::kWarning, "workers is 2"},
};

}  // namespace

TEST_CASE("doctor: numbers that agree are not complained of") {
  const Case good;
  CHECK(examine(good.config, good.around).empty());
}

TEST_CASE("doctor: each contradiction is found, alone, with its weight and a remedy") {
  for (const Row& row : kRows) {
    CAPTURE(std::string(row.name));
    Case spoilt;
    row.spoil(spoilt);
    const auto findings = examine(spoilt.config, spoilt.around);
    REQUIRE_FALSE(findings.empty());
    CAPTURE(findings[0].what);
    CAPTURE(findings.back().what);
    CHECK(findings.size() == 1);
    CHECK(findings[0].weight == row.weight);
    CHECK(findings[0].what.find(row.what) != std::string::npos);
    CHECK_FALSE(findings[0].remedy.empty());
  }
}

TEST_CASE("doctor: the worst comes first, and without a task definition nothing of it is judged") {
  Case spoilt;
  spoilt.own().read_only = false;
  spoilt.own().depends_on.clear();
  const auto findings = examine(spoilt.config, spoilt.around);
  REQUIRE(findings.size() == 2);
  CHECK(findings[0].weight == Weight::kFault);
  spoilt.around.task.reset();
  CHECK(examine(spoilt.config, spoilt.around).empty());
}
