// FakeNames: a name service that answers when the test says so.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "proxy/net/names.h"

namespace sluice::testing {

inline net::SocketAddress address_of(const std::string& host, uint16_t port) {
  return net::SocketAddress::from({"", false, host, port}).value();
}

class FakeNames final : public net::Names {
 public:
  struct Asked {
    std::string name;
    uint16_t port = 0;
    bool is_service = false;
    net::LookupEvents* events = nullptr;  // null: cancelled
    net::Lookup* lookup = nullptr;
  };

  std::unique_ptr<net::Lookup> addresses(const std::string& name, uint16_t port,
                                         net::LookupEvents& events) override {
    return note({name, port, false, &events, nullptr});
  }
  std::unique_ptr<net::Lookup> services(const std::string& name,
                                        net::LookupEvents& events) override {
    return note({name, 0, true, &events, nullptr});
  }

  // The oldest question for that name gets this answer.
  void answer(const std::string& name, const std::vector<std::string>& v4, Duration ttl,
              const std::vector<std::string>& v6 = {}) {
    const Asked asked = take(name);
    net::AddressAnswer its{{}, {}, ttl};
    for (const auto& host : v4) its.v4->push_back(address_of(host, asked.port));
    for (const auto& host : v6) its.v6->push_back(address_of(host, asked.port));
    asked.events->on_addresses(*asked.lookup, its);
  }
  void fail(const std::string& name, const std::string& why) {
    const Asked asked = take(name);
    const auto error = sluice::fail(ErrorCode::kNotFound, Side::kUpstream, why);
    if (asked.is_service) {
      asked.events->on_services(*asked.lookup, error);
    } else {
      asked.events->on_addresses(*asked.lookup, {error, error, {}});
    }
  }
  // One family came, the other did not.
  void half(const std::string& name, const std::vector<std::string>& v4, Duration ttl) {
    const Asked asked = take(name);
    net::AddressAnswer its{{}, sluice::fail(ErrorCode::kTimeout, Side::kUpstream, "lost"), ttl};
    for (const auto& host : v4) its.v4->push_back(address_of(host, asked.port));
    asked.events->on_addresses(*asked.lookup, its);
  }
  void answer_services(const std::string& name, std::vector<net::Service> services, Duration ttl) {
    const Asked asked = take(name);
    asked.events->on_services(*asked.lookup, net::ServiceAnswer{std::move(services), ttl});
  }

  size_t waiting() const { return asked_.size(); }
  bool is_asked(const std::string& name) const { return asked_.count(name) > 0; }

 private:
  struct Handle final : net::Lookup {
    Handle(FakeNames& owner, std::string of) : names(owner), name(std::move(of)) {}
    ~Handle() override {
      const auto [first, last] = names.asked_.equal_range(name);
      for (auto at = first; at != last; ++at) {
        if (at->second.lookup != this) continue;
        names.asked_.erase(at);
        return;
      }
    }
    FakeNames& names;
    const std::string name;
  };

  std::unique_ptr<net::Lookup> note(Asked asked) {
    auto handle = std::make_unique<Handle>(*this, asked.name);
    asked.lookup = handle.get();
    asked_.emplace(handle->name, std::move(asked));
    return handle;
  }
  Asked take(const std::string& name) {
    const auto at = asked_.find(name);
    REQUIRE(at != asked_.end());
    Asked asked = at->second;
    asked_.erase(at);
    return asked;
  }

  std::multimap<std::string, Asked> asked_;
};

}  // namespace sluice::testing
