// What those who look at endpoints need in their tests: a table that says what it is told, and
// endpoints whose changes are written down.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "proxy/net/listener_table.h"
#include "proxy/observe/metrics.h"
#include "proxy/upstream/endpoint.h"
#include "tests/unit/net/rounds.h"
#include "tests/unit/net/sockets.h"

namespace sluice::testing {

struct FakeTable final : net::ListenerSource {
  bool can_look_at(const net::SocketAddress&) override { return is_able; }
  net::ListenerLook look(const net::SocketAddress& address) override {
    ++looks;
    return said[address.text()];
  }
  void forget(const net::SocketAddress& address) override { forgotten.push_back(address.text()); }

  bool is_able = true;
  int looks = 0;
  std::map<std::string, net::ListenerLook> said;
  std::vector<std::string> forgotten;
};

struct StateLog final : upstream::EndpointEvents {
  void on_endpoint_changed(upstream::Endpoint&, upstream::EndpointState, upstream::EndpointState to,
                           upstream::EndpointNews) override {
    states.push_back(to);
  }
  std::vector<upstream::EndpointState> states;
};

inline std::shared_ptr<upstream::Endpoint> endpoint_at(const net::SocketAddress& address,
                                                       upstream::EndpointEvents* events = nullptr,
                                                       observe::EndpointId id = {}) {
  return std::make_shared<upstream::Endpoint>(address.text(), address, id, events);
}

// A port that was just free.
inline net::SocketAddress nobody_there() {
  return listening().local();
}

}  // namespace sluice::testing
