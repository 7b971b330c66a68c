// Names: what can be asked of the name service, and how it answers. Discovery asks; Resolver is the
// one that answers in the process, tests have their own. Control thread only.
//
// A Lookup is a handle: destroying it cancels the question. An answer comes once, on a later tick,
// never from inside the call that asked.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "proxy/base/clock.h"
#include "proxy/base/result.h"
#include "proxy/net/address.h"

namespace sluice::net {

// Of one answer; what is beyond is left out, the same part every time.
constexpr size_t kMostAddresses = 64;
constexpr size_t kMostServices = 64;

// The two families are two questions, and one may be answered when the other is not: a server that
// knows nothing of AAAA must not make the IPv4 addresses fail, nor a lost packet the IPv6 ones go.
struct AddressAnswer {
  Result<std::vector<SocketAddress>> v4;  // sorted; empty: the name has none of this family
  Result<std::vector<SocketAddress>> v6;
  Duration ttl{};  // the least of what came
};

// One SRV record (RFC 2782).
struct Service {
  std::string target;
  uint16_t port = 0;
  uint16_t priority = 0;
  uint16_t weight = 0;
  bool operator==(const Service&) const = default;
};

struct ServiceAnswer {
  std::vector<Service> services;  // sorted; empty: decidedly not offered (target ".")
  Duration ttl{};                 // the least of what came
};

class Lookup {
 public:
  virtual ~Lookup() = default;
};

class LookupEvents {
 public:
  virtual void on_addresses(Lookup& lookup, const AddressAnswer& answer) = 0;
  virtual void on_services(Lookup& lookup, const Result<ServiceAnswer>& answer) = 0;

 protected:
  ~LookupEvents() = default;
};

class Names {
 public:
  // A and AAAA of `name`, with `port` put in.
  virtual std::unique_ptr<Lookup> addresses(const std::string& name, uint16_t port,
                                            LookupEvents& events) = 0;
  virtual std::unique_ptr<Lookup> services(const std::string& name, LookupEvents& events) = 0;

 protected:
  ~Names() = default;
};

}  // namespace sluice::net
