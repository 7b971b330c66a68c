// Resolver: names to addresses, by c-ares on our own loop: its sockets are watched here, its
// timeouts are a Timer, there is no thread. /etc/hosts and the search list are honoured as the
// system does. Made by Process, lent to the Directory; control thread only.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "proxy/config/config.h"
#include "proxy/event/soon.h"
#include "proxy/net/names.h"

struct ares_channeldata;

namespace sluice::net {

class Resolver final : public Names, private event::TimerEvents {
 public:
  Resolver(event::Loop& loop, const config::Resolver& config);
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;
  // Requires: every Lookup is gone.
  ~Resolver();

  // A reload. With other servers or times, what is being asked is asked again, of the new ones.
  void apply(const config::Resolver& config);

  std::unique_ptr<Lookup> addresses(const std::string& name, uint16_t port,
                                    LookupEvents& events) override;
  std::unique_ptr<Lookup> services(const std::string& name, LookupEvents& events) override;

  // Queries of c-ares under way, abandoned ones as well: it cannot cancel one alone.
  size_t outstanding() const { return outstanding_; }

 private:
  class Question;
  class Socket;
  struct Query;
  static constexpr size_t kMostOutstanding = 256;

  Status open();
  void close();
  void refresh();
  void ask(Question& question);
  void begin(Question& question, int family);
  void arm();
  void on_timer(event::Timer& timer) override;
  void watch(int fd, bool readable, bool writable);

  event::Loop& loop_;
  config::Resolver config_;
  std::string system_;                   // what /etc/resolv.conf was when the channel was opened
  ares_channeldata* channel_ = nullptr;  // null: opened by the next question
  size_t outstanding_ = 0;               // bounded by kMostOutstanding
  std::vector<Question*> questions_;     // not answered yet; bounded by kMostOutstanding
  std::map<int, std::unique_ptr<Socket>> sockets_;  // bounded: two a server
  event::Timer timer_;
};

}  // namespace sluice::net
