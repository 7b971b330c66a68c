#include "proxy/server/listener_set.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

namespace sluice::server {

std::shared_ptr<ListenerShared> ListenerSet::find(const std::string& name) const {
  for (const auto& listener : listeners_) {
    if (listener->name == name) return listener;
  }
  return departures_.find(name);
}

Result<std::vector<ListenerOrder>> ListenerSet::prepare(
    const std::vector<config::Listener>& wanted) const {
  std::vector<ListenerOrder> orders;
  std::string faults;
  for (const config::Listener& listener : wanted) {
    auto shared = find(listener.address.text);
    if (shared == nullptr) {
      auto socket = sockets_.open("listener", listener.address, listener.backlog);
      if (!socket) {
        faults += (faults.empty() ? "" : "\n") + socket.error().detail;
        continue;
      }
      shared = std::make_shared<ListenerShared>(std::move(*socket), listener.address.text,
                                                metrics_.listener(listener.address.text));
    }
    orders.push_back({std::move(shared), listener});
  }
  if (faults.empty()) return orders;
  discard(orders);
  return fail(ErrorCode::kInvalid, Side::kUs, std::move(faults));
}

void ListenerSet::discard(const std::vector<ListenerOrder>& orders) const {
  for (const ListenerOrder& order : orders) {
    // The path of one that was passed to us is still somebody's.
    const bool is_new =
        find(order.shared->name) != order.shared && !order.shared->socket.is_adopted();
    const config::Address& address = order.config.address;
    if (is_new && address.is_unix) ::unlink(address.host_or_path.c_str());
  }
}

void ListenerSet::adopt(const std::vector<ListenerOrder>& orders) {
  std::vector<std::shared_ptr<ListenerShared>> next;
  for (const ListenerOrder& order : orders) {
    next.push_back(order.shared);
    departures_.recall(*order.shared);
    order.shared->socket.set_backlog(order.config.backlog);
    if (unsent_ > 0) order.shared->socket.limit_unsent(unsent_);
  }
  for (const auto& listener : listeners_) {
    if (std::find(next.begin(), next.end(), listener) == next.end()) departures_.begin(listener);
  }
  listeners_ = std::move(next);
}

void ListenerSet::hold_new_connections(observe::ProcessLog& log) {
  for (const auto& listener : listeners_) {
    const auto held = listener->socket.hold_new_connections();
    if (!held) log.warning("listener " + listener->name + ": " + held.error().detail);
  }
}

void ListenerSet::refuse_new_connections() {
  for (const auto& listener : listeners_) listener->socket.refuse_new_connections();
}

void ListenerSet::close() {
  for (const auto& listener : listeners_) listener->socket.close();
}

Duration ListenerSet::slowest_round_trip() const {
  uint32_t slowest = 0;
  for (const auto& listener : listeners_) {
    slowest = std::max(slowest, listener->slowest_round_trip.load(std::memory_order_relaxed));
  }
  return std::chrono::microseconds(slowest);
}

std::vector<std::string> ListenerSet::addresses() const {
  std::vector<std::string> all;
  for (const auto& listener : listeners_) all.push_back(listener->bound);
  return all;
}

}  // namespace sluice::server
