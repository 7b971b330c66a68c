// SocketStock: where listening sockets come from: passed to us by the supervisor (the process
// before us had them) or by the service manager, else opened here. What is opened the supervisor
// gets a duplicate of, once we accept, and hears of when it is closed (DESIGN, law 1: a socket
// outlives the process that opened it). Control thread; sockets may die on any.
//
//   kStarting -> kServing -> kRetired
// Before kServing and after nothing is said: a start that fails takes no socket with it, and what a
// retiring process lets go is its successor's.
#pragma once

#include <atomic>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/config/config.h"
#include "proxy/net/listen_socket.h"
#include "proxy/server/channel.h"

namespace sluice::server {

class SocketStock {
 public:
  // Requires: the channel outlives the stock, and the stock its sockets. A closed one: nobody asks.
  explicit SocketStock(const Channel& supervisor) : supervisor_(supervisor) {}

  // The names of sockets: what for, address as configured and as bound, by tabs. What the service
  // manager passes is named kPassed and goes to whoever has the address it is bound to.
  static constexpr std::string_view kPassed = "systemd";
  void add(std::string name, Fd fd);
  void add_passed();  // from the service manager, to this very process

  Result<net::ListenSocket> open(std::string_view purpose, const config::Address& address,
                                 uint32_t backlog);
  // We accept. Returns the names of what nobody asked for; it is closed now.
  std::vector<std::string> begin_serving();
  void retire() { state_ = State::kRetired; }
  bool is_serving() const { return state_ == State::kServing; }

 private:
  class Claim;
  enum class State : uint8_t { kStarting, kServing, kRetired };
  struct Passed {
    std::string name;
    Fd fd;
  };
  struct Opened {
    std::string name;
    int fd = -1;
  };
  Passed* find(const std::string& prefix, const config::Address& address);
  void on_closed(const std::string& name);

  const Channel& supervisor_;
  std::atomic<State> state_{State::kStarting};
  std::vector<Passed> passed_;  // bounded by what the supervisor keeps
  std::vector<Opened> opened_;  // only while kStarting
};

}  // namespace sluice::server
