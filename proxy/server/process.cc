#include "proxy/server/process.h"

#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <utility>

#include <nlohmann/json.hpp>

#include "proxy/server/cpus.h"
#include "proxy/server/settings.h"

namespace sluice::server {

Process::Process(RunOptions options, const filter::Registry& filters, Channel supervisor)
    : options_(std::move(options)),
      filters_(filters),
      lifeline_(std::move(supervisor)),
      source_(options_.config_file, options_.flags, filters),
      signals_(*this) {}

Process::~Process() {
  // They outlive the loop, but not with what they have on it.
  task_.reset();
  lifeline_.leave();
}

int Process::run() {
  Signals::block();
  if (const auto learned = lifeline_.learn(sockets_); !learned) {
    complain({"sluice: " + learned.error().detail});
    return 1;
  }
  if (const int code = prepare(); code != 0) return code;
  loop_->run();
  return shut_down();
}

// ---- start ----

// Whoever waits for an upgrade wants to know, too.
void Process::complain(const std::vector<std::string>& faults) const {
  std::string all;
  for (const std::string& fault : faults) all += (all.empty() ? "" : "\n") + fault;
  std::fprintf(stderr, "%s\n", all.c_str());
  lifeline_.say(Word::kFailed, all);
}

int Process::prepare() {
  const config::Loaded loaded = source_.load("start");
  if (loaded.config == nullptr) {
    complain(loaded.faults);
    return 2;
  }
  const config::Config& config = *loaded.config;
  const auto give_up = [this](const Error& error) {
    complain({"sluice: " + error.detail});
    return 1;
  };
  if (const auto opened = open_observers(config); !opened) return give_up(opened.error());
  for (const std::string& note : loaded.notes) log_->warning(note);
  auto loop = event::Loop::make();
  if (!loop) return give_up(loop.error());
  loop_ = std::move(*loop);
  reloads_ = std::make_unique<ReloadRecord>(*metrics_);
  departures_ = std::make_unique<Departures>(*loop_, workers_, *log_, [this] { reload_waiting(); });
  listeners_ = std::make_unique<ListenerSet>(*metrics_, sockets_, *departures_);
  listeners_->limit_unsent(unsent_ceiling(config));
  if (const auto opened = open_tls(); !opened) return give_up(opened.error());
  config::Faults faults;
  auto secured = tls_->prepare(config.listeners, faults);
  if (!faults.empty()) {
    complain(faults.lines());
    return 2;
  }
  auto orders = listeners_->prepare(config.listeners);
  if (!orders) return give_up(orders.error());
  furnish(*orders, secured);
  open_directory(config);
  snapshot_ = exchange::build_snapshot(loaded.config, filters_, *metrics_, nullptr, faults,
                                       directory_.get());
  if (snapshot_ == nullptr) {
    complain(faults.lines());
    return 2;
  }
  snapshot_ = reloads_->count(std::move(snapshot_));
  if (const auto made = make_workers(config); !made) return give_up(made.error());
  if (const auto started = signals_.start(*loop_); !started) return give_up(started.error());
  if (const auto opened = open_controls(config); !opened) return give_up(opened.error());
  event::TimerEvents& events = *this;
  drain_beat_ = std::make_unique<event::Timer>(loop_->timers(), events);
  watch_task(config);
  ConfigSourceEvents& changes = *this;
  source_.start(*loop_, *log_, *metrics_, changes);
  source_.adopt(loaded);
  tls_->adopt(std::move(secured));
  install(snapshot_, *orders, "start", [this](bool, const std::string&) { on_accepting(); });
  return 0;
}

Status Process::open_observers(const config::Config& config) {
  auto log = observe::ProcessLog::open(process_log_options(config.log));
  if (!log) return tl::unexpected(log.error());
  log_ = std::move(*log);
  metrics_ = std::make_unique<observe::Metrics>(
      observe::MetricsOptions{config.metrics.buckets, options_.version});
  task_ = std::make_unique<Task>(config.ecs, *metrics_, *log_);
  const unsigned workers = worker_count(config, task_->cpus());
  auto access_log = observe::AccessLog::open(access_log_options(config.access_log), workers);
  if (!access_log) return tl::unexpected(access_log.error());
  access_log_ = std::move(*access_log);
  spill_ = std::make_unique<exchange::SpillBudget>(config.spill_folder, config.limits.spill.count);
  metrics_->read_counter("access_log_lost_total", "Access log lines that were lost.",
                         [this] { return static_cast<double>(access_log_->lost()); });
  metrics_->read_counter("process_log_lost_total", "Lines of the process log that were lost.",
                         [this] { return static_cast<double>(log_->lost()); });
  metrics_->read_gauge("spill_bytes", "Bytes of bodies in spill files.",
                       [this] { return static_cast<double>(spill_->used()); });
  return {};
}

Status Process::open_tls() {
  auto key_log = TlsStock::open_key_log(options_.tls_key_log);
  if (!key_log) return tl::unexpected(key_log.error());
  if (*key_log != nullptr) {
    log_->warning("the secrets of every TLS connection are written to " + options_.tls_key_log);
  }
  const auto renewed = [this](const std::string& name, const TlsStock::Context& context) {
    for (const auto& listener : listeners_->all()) {
      if (listener->name != name) continue;
      for (const auto& worker : workers_) worker->renew_tls(listener, context);
    }
  };
  tls_ = std::make_unique<TlsStock>(*loop_, *log_, *metrics_, std::move(*key_log), renewed);
  return {};
}

Status Process::make_workers(const config::Config& config) {
  raise_descriptor_limit();
  connections_.ceiling = connection_ceiling(config);
  const unsigned count = worker_count(config, task_->cpus());
  const uint64_t memory = memory_ceiling(config);
  clients_ = std::make_unique<exchange::ClientTable>(config.limits.clients);
  in_flight_.set(config.limits.in_flight);
  metrics_->read_gauge("buffered_limit_bytes", "Bytes in buffers from which requests are ended.",
                       [memory] { return static_cast<double>(memory); });
  const Shared shared{*spill_,   *log_,      readiness_,    connections_,
                      *clients_, in_flight_, memory / count};
  for (unsigned i = 0; i < count; ++i) {
    auto worker = Worker::make(shared, metrics_->add_worker(), access_log_->queue(i));
    if (!worker) return tl::unexpected(worker.error());
    workers_.push_back(std::move(*worker));
    workers_.back()->start(i);
  }
  still_accepting_ = count;
  return {};
}

void Process::watch_task(const config::Config& config) {
  task_->watch(*loop_, config.ecs, [this] {
    if (drain_.stage() == Drain::Stage::kServing)
      judge_->refuse("the application is being stopped");
  });
}

Status Process::open_controls(const config::Config& config) {
  controls_ = std::make_unique<ControlPlane>(
      *loop_, *log_, sockets_,
      [this](std::string_view method, std::string_view path, const ControlAnswer& answer) {
        handle_read(method, path, answer);
      },
      [this](std::string_view method, std::string_view path, const ControlAnswer& answer) {
        handle_order(method, path, answer);
      });
  SuccessionOwner& owner = *this;
  succession_ = std::make_unique<Succession>(
      lifeline_, sockets_,
      Succession::House{*loop_, *log_, *metrics_, *listeners_, *controls_, workers_, connections_},
      owner);
  if (const auto started = succession_->start(); !started) return started;
  auto prepared = controls_->prepare(config);
  if (!prepared) return tl::unexpected(prepared.error());
  controls_->adopt(std::move(*prepared));
  return {};
}

void Process::on_accepting() {
  readiness_.accepting = true;
  std::string where;
  for (const std::string& address : listeners_->addresses()) where += " " + address;
  const double took = seconds(steady_now() - began_) * 1000;
  char text[32];
  std::snprintf(text, sizeof text, "%.1f ms", took);
  log_->info("sluice " + options_.version + " accepts on" + where + " with " +
             std::to_string(workers_.size()) + (workers_.size() == 1 ? " worker, " : " workers, ") +
             text + " after its start");
  succession_->on_accepting("serving" + where);
  if (const auto written = write_ready_file(); !written) log_->error(written.error().detail);
}

Status Process::write_ready_file() const {
  if (options_.ready_file.empty()) return {};
  nlohmann::json ready{{"pid", lifeline_.signal_pid()},
                       {"serving_pid", getpid()},
                       {"listeners", nlohmann::json::array()}};
  for (const std::string& address : listeners_->addresses())
    ready["listeners"].push_back({{"address", address}});
  ready["metrics"] = controls_->metrics_address();
  ready["admin"] = controls_->admin_path();
  const std::string part = options_.ready_file + ".part";
  {
    std::ofstream file(part);
    file << ready.dump() << "\n";
    if (!file.flush()) return fail(ErrorCode::kSystem, Side::kUs, "cannot write " + part);
  }
  if (::rename(part.c_str(), options_.ready_file.c_str()) != 0) {
    return fail_errno(errno, Side::kUs, "rename to " + options_.ready_file);
  }
  return {};
}

// ---- end ----

int Process::shut_down() {
  for (const auto& worker : workers_) worker->stop();
  for (const auto& worker : workers_) worker->join();
  succession_->say_last();
  succession_.reset();
  controls_.reset();
  access_log_->close(std::chrono::seconds(1));
  drain_beat_.reset();
  workers_.clear();
  log_->info(summary(books()));
  snapshot_.reset();
  return exit_code();
}

}  // namespace sluice::server
