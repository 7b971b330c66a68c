#include "proxy/server/listener_set.h"

#include <algorithm>
#include <utility>

namespace sluice::server {

std::shared_ptr<ListenerShared> ListenerSet::find(const std::string& name) const {
  for (const auto& listener : listeners_) {
    if (listener->name == name) return listener;
  }
  return nullptr;
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
        faults += (faults.empty() ? "" : "; ") + socket.error().detail;
        continue;
      }
      shared = std::make_shared<ListenerShared>(std::move(*socket), listener.address.text,
                                                metrics_.listener(listener.address.text));
    }
    orders.push_back({std::move(shared), listener});
  }
  if (!faults.empty()) return fail(ErrorCode::kInvalid, Side::kUs, std::move(faults));
  return orders;
}

std::vector<std::shared_ptr<ListenerShared>> ListenerSet::adopt(
    const std::vector<ListenerOrder>& orders) {
  std::vector<std::shared_ptr<ListenerShared>> next;
  for (const ListenerOrder& order : orders) next.push_back(order.shared);
  std::erase_if(listeners_, [&next](const auto& listener) {
    return std::find(next.begin(), next.end(), listener) != next.end();
  });
  return std::exchange(listeners_, std::move(next));
}

void ListenerSet::hold_new_connections(observe::ProcessLog& log) {
  for (const auto& listener : listeners_) {
    const auto held = listener->socket.hold_new_connections();
    if (!held) log.warning("listener " + listener->name + ": " + held.error().detail);
  }
}

std::vector<std::string> ListenerSet::addresses() const {
  std::vector<std::string> all;
  for (const auto& listener : listeners_) all.push_back(listener->socket.local().text());
  return all;
}

}  // namespace sluice::server
