#include "proxy/server/worker.h"

#include <pthread.h>

#include <algorithm>
#include <bit>
#include <string>
#include <utility>

namespace sluice::server {
namespace {

// Numbers that the control thread reads without asking are refreshed this often.
constexpr Duration kBeat = std::chrono::milliseconds(100);

}  // namespace

void furnish(std::vector<ListenerOrder>& orders, const TlsStock::Items& secured) {
  for (ListenerOrder& order : orders) {
    for (const TlsStock::Item& item : secured) {
      if (item.listener == order.shared->name) order.tls = item.context;
    }
  }
}

Result<std::unique_ptr<Worker>> Worker::make(const Shared& shared, observe::WorkerMetrics& metrics,
                                             observe::AccessLogQueue& log_queue) {
  auto loop = event::Loop::make();
  if (!loop) return tl::unexpected(loop.error());
  return std::unique_ptr<Worker>(new Worker(shared, std::move(*loop), metrics, log_queue));
}

Worker::Worker(const Shared& shared, std::unique_ptr<event::Loop> loop,
               observe::WorkerMetrics& metrics, observe::AccessLogQueue& log_queue)
    : loop_(std::move(loop)),
      observer_(metrics, &log_queue),
      log_(shared.log),
      connections_(shared.connections),
      memory_(*loop_, shared.memory_ceiling, *this),
      services_{*loop_,           shared.spill,   observer_,        shared.log,
                shared.readiness, shared.clients, shared.in_flight, memory_},
      beat_(loop_->timers(), *this) {}

Worker::~Worker() {
  join();
}

void Worker::start(size_t index) {
  thread_ = std::thread([this, index] {
    const std::string name = "worker-" + std::to_string(index);
    pthread_setname_np(pthread_self(), name.c_str());
    beat_.arm(kBeat);
    loop_->run();
    // What is left belongs to this thread's memory pool and must go with it.
    listeners_.clear();
    retired_.clear();
    loop_->run_leftovers();
    generation_.reset();
    beat_.cancel();
  });
}

void Worker::join() {
  if (thread_.joinable()) thread_.join();
}

void Worker::stop() {
  loop_->stop();
}

void Worker::on_timer(event::Timer&) {
  size_t count = 0;
  for (const auto& listener : listeners_) count += listener->sessions();
  for (const auto& listener : retired_) count += listener->sessions();
  sessions_.store(count, std::memory_order_relaxed);
  observer_.metrics().buffered(static_cast<int64_t>(Block::held()));
  beat_.arm(count > 0 || draining_ ? kBeat : kBeat * 10);
}

// ---- orders ----

void Worker::install(std::shared_ptr<const exchange::Snapshot> snapshot,
                     std::vector<ListenerOrder> listeners, std::function<void()> done) {
  loop_->post([this, snapshot = std::move(snapshot), listeners = std::move(listeners),
               done = std::move(done)]() mutable {
    generation_ = exchange::next_generation(*loop_, observer_.metrics(), std::move(snapshot),
                                            generation_.get());
    take_listeners(listeners);
    done();
  });
}

void Worker::redefine(const upstream::Definition& definition, std::function<void()> done) {
  loop_->post([this, definition, done = std::move(done)] {
    if (generation_ != nullptr) exchange::redefine(*generation_, definition);
    done();
  });
}

void Worker::take_listeners(const std::vector<ListenerOrder>& orders) {
  std::vector<std::unique_ptr<WorkerListener>> kept;
  for (const ListenerOrder& order : orders) {
    if (auto same = take_listener(*order.shared); same != nullptr) {
      same->reconfigure(order.config);
      same->set_tls(order.tls);
      same->drain(draining_);
      kept.push_back(std::move(same));
      continue;
    }
    WorkerListenerOwner& owner = *this;
    auto made = std::make_unique<WorkerListener>(services_, order.shared, connections_,
                                                 order.config, owner);
    made->set_tls(order.tls);
    if (const auto started = made->start(); !started) {
      log_.error("listener " + order.shared->name + ": " + started.error().detail);
    }
    kept.push_back(std::move(made));
  }
  listeners_.swap(kept);
  for (auto& gone : kept) {
    if (gone != nullptr) leave(std::move(gone));
  }
}

// The one we have of it and that still accepts; null: none.
std::unique_ptr<WorkerListener> Worker::take_listener(const ListenerShared& shared) {
  for (auto* all : {&listeners_, &retired_}) {
    for (auto& listener : *all) {
      if (listener == nullptr || &listener->shared() != &shared) continue;
      if (!listener->is_accepting()) continue;
      auto taken = std::move(listener);
      if (all == &retired_) std::erase(retired_, nullptr);
      return taken;
    }
  }
  return nullptr;
}

void Worker::leave(std::unique_ptr<WorkerListener> listener) {
  listener->drain(true);
  retired_.push_back(std::move(listener));
}

void Worker::renew_tls(std::shared_ptr<ListenerShared> listener,
                       std::shared_ptr<const net::TlsContext> tls) {
  loop_->post([this, listener = std::move(listener), tls = std::move(tls)] {
    for (const auto& mine : listeners_) {
      if (&mine->shared() == listener.get()) mine->set_tls(tls);
    }
  });
}

void Worker::let_go(std::shared_ptr<ListenerShared> listener, std::function<void()> done) {
  loop_->post([this, listener = std::move(listener), done = std::move(done)] {
    for (const auto& leaving : retired_) {
      if (&leaving->shared() != listener.get()) continue;
      leaving->stop_accepting();
      leaving->end_tunnels(tunnel_budget());
    }
    forget_retired();
    done();
  });
}

// A listener's last session tells it from inside; the listener goes on a later turn.
void Worker::on_listener_empty() {
  if (!retired_.empty()) loop_->post([this] { forget_retired(); });
}

// The largest first, of about the same size the newest: its client has waited least.
void Worker::shed(uint64_t bytes) {
  std::vector<Burden> burdens;
  for (const auto& listener : listeners_) listener->list_burdens(burdens);
  for (const auto& listener : retired_) listener->list_burdens(burdens);
  std::sort(burdens.begin(), burdens.end(), [](const Burden& a, const Burden& b) {
    const auto first = std::bit_width(a.bytes);
    const auto second = std::bit_width(b.bytes);
    return first != second ? first > second : a.since > b.since;
  });
  uint64_t freed = 0;
  for (const Burden& burden : burdens) {
    if (freed >= bytes) return;
    freed += burden.bytes;
    burden.session->shed();
  }
}

void Worker::forget_retired() {
  std::erase_if(retired_, [](const auto& listener) {
    return listener->sessions() == 0 && !listener->is_accepting();
  });
}

void Worker::announce_drain(bool draining) {
  loop_->post([this, draining] {
    draining_ = draining;
    for (const auto& listener : listeners_) listener->drain(draining);
  });
}

void Worker::accept_queues() {
  loop_->post([this] {
    for (const auto& listener : listeners_) listener->accept_queue();
    for (const auto& listener : retired_) {
      if (listener->is_accepting()) listener->accept_queue();
    }
  });
}

void Worker::stop_accepting(std::function<void()> done) {
  loop_->post([this, done = std::move(done)] {
    for (auto& listener : listeners_) leave(std::move(listener));
    listeners_.clear();
    for (const auto& listener : retired_) listener->stop_accepting();
    forget_retired();
    done();
  });
}

void Worker::hand_over(std::shared_ptr<const std::vector<std::string>> names, const Channel& line,
                       std::function<void()> done) {
  loop_->post([this, names = std::move(names), &line, done = std::move(done)] {
    std::vector<std::unique_ptr<WorkerListener>> kept;
    for (auto& listener : listeners_) {
      const std::string& name = listener->shared().name;
      if (std::find(names->begin(), names->end(), name) == names->end()) {
        listener->stop_accepting();
        listener->end_tunnels(tunnel_budget());
        leave(std::move(listener));
        continue;
      }
      listener->hand_over(line);
      kept.push_back(std::move(listener));
    }
    listeners_ = std::move(kept);
    forget_retired();
    done();
  });
}

void Worker::adopt(std::shared_ptr<ListenerShared> listener, Fd fd, const net::IpPort& client,
                   uint32_t requests, std::string_view proxied) {
  // std::function copies: the descriptor is owned through a pointer on its way.
  auto owned = std::make_shared<Fd>(std::move(fd));
  loop_->post([this, listener = std::move(listener), owned, client, requests,
               header = std::string(proxied)] {
    for (const auto* all : {&listeners_, &retired_}) {
      for (const auto& mine : *all) {
        if (&mine->shared() == listener.get()) {
          return mine->adopt(std::move(*owned), client, requests, header);
        }
      }
    }
  });
}

// A listener that is dropped alone has no deadline: its tunnels have what a drain gives.
Duration Worker::tunnel_budget() const {
  return generation_ == nullptr ? Duration{0} : generation_->snapshot->config->drain.tunnels;
}

void Worker::end_tunnels(Duration budget) {
  loop_->post([this, budget] {
    for (const auto& listener : listeners_) listener->end_tunnels(budget);
    for (const auto& listener : retired_) listener->end_tunnels(budget);
  });
}

void Worker::close_idle() {
  loop_->post([this] {
    for (const auto& listener : listeners_) listener->close_idle("drain");
    for (const auto& listener : retired_) listener->close_idle("drain");
  });
}

void Worker::close_all(std::string_view reason, std::function<void()> done) {
  loop_->post([this, reason, done = std::move(done)] {
    for (const auto& listener : listeners_) listener->close_all(reason);
    for (const auto& listener : retired_) listener->close_all(reason);
    done();
  });
}

}  // namespace sluice::server
