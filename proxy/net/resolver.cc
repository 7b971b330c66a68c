#include "proxy/net/resolver.h"

#include <netinet/in.h>
#include <sys/stat.h>
#include <sys/time.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

// Newer versions (Debian 13) mark what older ones (Debian 12) have nothing else for.
#define CARES_NO_DEPRECATED
#include <ares.h>

#include "proxy/base/text.h"
#include "proxy/net/srv_reply.h"

namespace sluice::net {
namespace {

constexpr const char* kSystemFile = "/etc/resolv.conf";
constexpr uint16_t kDnsPort = 53;
constexpr int kClassIn = 1;
constexpr int kTypeSrv = 33;
constexpr Duration kMostTtl = std::chrono::hours(24);

// Changes when the file does, or when another takes its place.
std::string system_mark() {
  struct stat found {};
  if (::stat(kSystemFile, &found) != 0) return "";
  return std::to_string(found.st_ino) + " " + std::to_string(found.st_size) + " " +
         std::to_string(found.st_mtim.tv_sec) + "." + std::to_string(found.st_mtim.tv_nsec);
}

std::string servers_text(const std::vector<config::Address>& servers) {
  std::string text;
  for (const config::Address& server : servers) {
    const bool v6 = server.host_or_path.find(':') != std::string::npos;
    if (!text.empty()) text += ',';
    text += v6 ? "[" + server.host_or_path + "]" : server.host_or_path;
    text += ":" + std::to_string(server.port == 0 ? kDnsPort : server.port);
  }
  return text;
}

tl::unexpected<Error> failed(int status) {
  switch (status) {
    case ARES_ENOTFOUND:
      return fail(ErrorCode::kNotFound, Side::kUpstream, "there is no such name");
    case ARES_ENODATA:
      return fail(ErrorCode::kNotFound, Side::kUpstream, "the name has no such record");
    case ARES_ETIMEOUT: return fail(ErrorCode::kTimeout, Side::kUpstream, "no name server answers");
    case ARES_ECONNREFUSED:  // older versions say this, too, when every server fails or refuses
      return fail(ErrorCode::kRefused, Side::kUpstream,
                  "no name server can be reached, or all fail (SERVFAIL) or refuse (REFUSED)");
    case ARES_ESERVFAIL:
      return fail(ErrorCode::kUnreachable, Side::kUpstream, "the name server fails (SERVFAIL)");
    case ARES_EREFUSED:
      return fail(ErrorCode::kUnreachable, Side::kUpstream, "the name server refuses (REFUSED)");
    default: return fail(ErrorCode::kMalformed, Side::kUpstream, ares_strerror(status));
  }
}

tl::unexpected<Error> too_many() {
  return fail(ErrorCode::kOverloaded, Side::kUs, "too many names are being looked up");
}

std::vector<SocketAddress> addresses_of(const ares_addrinfo& found, uint16_t port, Duration& ttl) {
  std::vector<std::pair<std::string, SocketAddress>> named;
  for (const auto* alias = found.cnames; alias != nullptr; alias = alias->next) {
    ttl = std::min<Duration>(ttl, std::chrono::seconds(std::max(alias->ttl, 0)));
  }
  for (const auto* node = found.nodes; node != nullptr; node = node->ai_next) {
    sockaddr_storage storage{};
    if (node->ai_addrlen > sizeof storage) continue;
    std::memcpy(&storage, node->ai_addr, node->ai_addrlen);
    if (node->ai_family == AF_INET) {
      reinterpret_cast<sockaddr_in*>(&storage)->sin_port = htons(port);
    } else if (node->ai_family == AF_INET6) {
      reinterpret_cast<sockaddr_in6*>(&storage)->sin6_port = htons(port);
    } else {
      continue;
    }
    ttl = std::min<Duration>(ttl, std::chrono::seconds(std::max(node->ai_ttl, 0)));
    auto address = SocketAddress::of_kernel(storage, node->ai_addrlen);
    named.emplace_back(address.text(), address);
  }
  // Name servers turn the order with every answer.
  const auto before = [](const auto& a, const auto& b) { return a.first < b.first; };
  const auto same = [](const auto& a, const auto& b) { return a.first == b.first; };
  std::sort(named.begin(), named.end(), before);
  named.erase(std::unique(named.begin(), named.end(), same), named.end());
  std::vector<SocketAddress> addresses;
  for (const auto& [text, address] : named) {
    if (addresses.size() < kMostAddresses) addresses.push_back(address);
  }
  return addresses;
}

}  // namespace

// What c-ares calls back with; it lives as long as c-ares may call.
struct Resolver::Query {
  Resolver& resolver;
  Question* question;  // null: nobody wants to know any more
  int family;          // AF_UNSPEC: SRV

  static void on_addrinfo(void* self, int status, int, ares_addrinfo* found) noexcept;
  static void on_reply(void* self, int status, int, unsigned char* reply, int size) noexcept;
  // The question that this was for, if it still waits; ends the query.
  static Question* end(Query* query, int status);
};

class Resolver::Question final : public Lookup, private event::SoonEvents {
 public:
  Question(Resolver& owner, std::string asked, std::optional<uint16_t> with, LookupEvents& to)
      : resolver(owner),
        name(std::move(asked)),
        port(with),
        events_(to),
        soon_(owner.loop_, *this) {
    reset();
    resolver.questions_.push_back(this);
  }
  ~Question() override {
    reset();
    std::erase(resolver.questions_, this);
  }

  // As if it had never been asked.
  void reset() {
    for (Query* query : queries) query->question = nullptr;
    queries.clear();
    addresses_ = {too_many(), too_many(), kMostTtl};
    services_ = too_many();
  }
  void take(int family, Result<std::vector<SocketAddress>> found, Duration ttl) {
    (family == AF_INET ? addresses_.v4 : addresses_.v6) = std::move(found);
    addresses_.ttl = std::min(addresses_.ttl, ttl);
    answer_when_done();
  }
  void take(Result<ServiceAnswer> found) {
    services_ = std::move(found);
    answer_when_done();
  }
  void answer_when_done() {
    if (queries.empty()) soon_.schedule();
  }

  Resolver& resolver;
  const std::string name;
  const std::optional<uint16_t> port;  // none: a service
  std::vector<Query*> queries;         // under way; at most two

 private:
  void on_soon() override {
    if (!queries.empty()) return;  // asked again since, or the other family is still missing
    std::erase(resolver.questions_, this);
    if (port) {
      events_.on_addresses(*this, addresses_);
    } else {
      events_.on_services(*this, services_);
    }
  }

  LookupEvents& events_;
  AddressAnswer addresses_;
  Result<ServiceAnswer> services_;
  event::Soon soon_;
};

// One of c-ares's sockets, watched by level: it does not always read until it would block.
class Resolver::Socket final : private event::IoEvents {
 public:
  Socket(Resolver& resolver, int fd) : resolver_(resolver), fd_(fd) {}
  void watch(bool writable) {
    event::IoEvents& events = *this;
    const auto interest =
        writable ? event::IoWatcher::Interest::kReadWrite : event::IoWatcher::Interest::kRead;
    // A socket that cannot be watched is one whose question runs into its timeout.
    static_cast<void>(watcher_.start_level(resolver_.loop_, fd_, events, interest));
  }

 private:
  void on_io(event::IoReady ready) override {
    Resolver& resolver = resolver_;  // c-ares may close the socket, and with it this
    ares_process_fd(resolver.channel_, ready.readable ? fd_ : ARES_SOCKET_BAD,
                    ready.writable ? fd_ : ARES_SOCKET_BAD);
    resolver.arm();
  }

  Resolver& resolver_;
  const int fd_;
  event::IoWatcher watcher_;
};

// ---- c-ares calls ----

Resolver::Question* Resolver::Query::end(Query* query, int status) {
  const std::unique_ptr<Query> ends(query);
  --query->resolver.outstanding_;
  Question* const question = query->question;
  if (question == nullptr) return nullptr;
  std::erase(question->queries, query);
  // The channel is closed under it: it will be asked again.
  return status == ARES_EDESTRUCTION || status == ARES_ECANCELLED ? nullptr : question;
}

void Resolver::Query::on_addrinfo(void* self, int status, int, ares_addrinfo* found) noexcept {
  const std::unique_ptr<ares_addrinfo, decltype(&ares_freeaddrinfo)> owned(found,
                                                                           &ares_freeaddrinfo);
  const int family = static_cast<Query*>(self)->family;
  Question* const question = end(static_cast<Query*>(self), status);
  if (question == nullptr) return;
  Duration ttl = kMostTtl;
  if (status == ARES_SUCCESS && found != nullptr) {
    auto addresses = addresses_of(*found, *question->port, ttl);
    return question->take(family, std::move(addresses), ttl);
  }
  if (status == ARES_ENODATA) return question->take(family, std::vector<SocketAddress>{}, ttl);
  question->take(family, failed(status), ttl);
}

void Resolver::Query::on_reply(void* self, int status, int, unsigned char* reply,
                               int size) noexcept {
  Question* const question = end(static_cast<Query*>(self), status);
  if (question == nullptr) return;
  if (status != ARES_SUCCESS || reply == nullptr || size < 0) return question->take(failed(status));
  question->take(parse_srv_reply({reply, static_cast<size_t>(size)}));
}

// ---- the channel ----

Resolver::Resolver(event::Loop& loop, const config::Resolver& config)
    : loop_(loop), config_(config), timer_(loop.timers(), *this) {
  ares_library_init(ARES_LIB_INIT_ALL);
}

Resolver::~Resolver() {
  close();
  ares_library_cleanup();
}

Status Resolver::open() {
  ares_options options{};
  options.timeout =
      static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(config_.timeout).count());
  options.tries = static_cast<int>(config_.tries);
  options.sock_state_cb = [](void* self, int fd, int readable, int writable) {
    static_cast<Resolver*>(self)->watch(fd, readable != 0, writable != 0);
  };
  options.sock_state_cb_data = this;
  system_ = system_mark();
  int status = ares_init_options(&channel_, &options,
                                 ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB);
  if (status != ARES_SUCCESS) {
    channel_ = nullptr;
  } else if (!config_.servers.empty()) {
    status = ares_set_servers_ports_csv(channel_, servers_text(config_.servers).c_str());
  }
  if (status == ARES_SUCCESS) return {};
  close();
  return fail(ErrorCode::kSystem, Side::kUs,
              std::string("the resolver cannot be set up: ") + ares_strerror(status));
}

void Resolver::close() {
  if (channel_ != nullptr) ares_destroy(std::exchange(channel_, nullptr));
  sockets_.clear();
  timer_.cancel();
}

void Resolver::refresh() {
  close();
  const std::vector<Question*> waiting = questions_;
  for (Question* question : waiting) {
    question->reset();
    ask(*question);
  }
}

void Resolver::apply(const config::Resolver& config) {
  const bool other = config.servers != config_.servers || config.timeout != config_.timeout ||
                     config.tries != config_.tries;
  config_ = config;
  if (other) refresh();
}

void Resolver::watch(int fd, bool readable, bool writable) {
  if (!readable && !writable) {
    sockets_.erase(fd);
    return;
  }
  auto& socket = sockets_[fd];
  if (socket == nullptr) socket = std::make_unique<Socket>(*this, fd);
  socket->watch(writable);
}

void Resolver::arm() {
  timeval left{};
  if (channel_ == nullptr || ares_timeout(channel_, nullptr, &left) == nullptr) {
    return timer_.cancel();
  }
  // A millisecond more: c-ares does nothing a moment too early, and would be asked again and again.
  timer_.arm(std::chrono::seconds(left.tv_sec) + std::chrono::microseconds(left.tv_usec) +
             std::chrono::milliseconds(1));
}

void Resolver::on_timer(event::Timer&) {
  if (channel_ == nullptr) return;
  ares_process_fd(channel_, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
  arm();
}

// ---- questions ----

std::unique_ptr<Lookup> Resolver::addresses(const std::string& name, uint16_t port,
                                            LookupEvents& events) {
  auto question = std::make_unique<Question>(*this, name, port, events);
  ask(*question);
  return question;
}

std::unique_ptr<Lookup> Resolver::services(const std::string& name, LookupEvents& events) {
  auto question = std::make_unique<Question>(*this, name, std::nullopt, events);
  ask(*question);
  return question;
}

void Resolver::ask(Question& question) {
  if (channel_ != nullptr && config_.servers.empty() && system_mark() != system_) {
    return refresh();  // this question is among those that are asked again
  }
  if (channel_ == nullptr && !open()) return question.answer_when_done();
  if (!question.port) {
    begin(question, AF_UNSPEC);
  } else {
    begin(question, AF_INET);
    begin(question, AF_INET6);
  }
  question.answer_when_done();
  arm();
}

void Resolver::begin(Question& question, int family) {
  if (outstanding_ >= kMostOutstanding) return;  // the answer says so already
  ++outstanding_;
  auto* query = new Query{*this, &question, family};  // c-ares owns it until it calls back
  question.queries.push_back(query);
  if (family == AF_UNSPEC) {
    return ares_search(channel_, question.name.c_str(), kClassIn, kTypeSrv, &Query::on_reply,
                       query);
  }
  ares_addrinfo_hints hints{};
  hints.ai_family = family;
  hints.ai_flags = ARES_AI_NOSORT;
  ares_getaddrinfo(channel_, question.name.c_str(), nullptr, &hints, &Query::on_addrinfo, query);
}

}  // namespace sluice::net
