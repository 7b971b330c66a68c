// The campaign behind DESIGN, law 5 (b): an application that reads k bytes of a request, then
// closes, half-closes, resets or dies, at random moments; and the codecs that talk to it, asked
// what they can prove. A request said to be not received (or not sent) of which a byte was read is
// a false verdict: none may be found. Also says how often what is true could be proven.
// Counted apart: bytes that an application reads after its own FIN. It can answer nothing any more,
// and RFC 9112 §9.6 forbids it to process them; TCP cannot tell it from one that has closed
// (http/serial_client.cc).
//
//   campaign_not_received [--runs N] [--lanes N] [--seed N] [--quiet]
//
// The last line is "N passed, M failed"; exit code 1 when anything failed.
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <array>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <string_view>
#include <vector>

#include "proxy/base/assert.h"
#include "proxy/event/loop.h"
#include "proxy/http/h1_client.h"
#include "proxy/http/uwsgi_client.h"
#include "proxy/net/plain_transport.h"
#include "tests/campaign/plan.h"

namespace sluice::campaign {
namespace {

using Delivery = http::ClientStream::Delivery;

// kGone: the connection was seen to be closed before anything was sent. kStuck: a bug of ours.
enum class Verdict : uint8_t { kNotSent, kNotReceived, kUnknown, kAnswered, kGone, kStuck };
constexpr size_t kVerdicts = 6;
constexpr const char* kVerdictNames[] = {"not sent", "not received", "unknown",
                                         "answered", "gone before",  "stuck"};
// What the adversary knows of the request's bytes. kReadAfterEnd: read by an application that had
// sent its FIN before, so that nothing could be answered.
enum class Truth : uint8_t { kUnread, kRead, kReadAfterEnd };
constexpr size_t kTruths = 3;

struct Tally {
  using Table = std::array<std::array<std::atomic<uint64_t>, kTruths>, kVerdicts>;
  std::array<Table, 2> transports{};  // TCP, unix
  // Of requests on a connection that was closed in the plain way, nothing of them read.
  std::array<std::array<std::atomic<uint64_t>, kVerdicts>, 2> plain{};
  std::atomic<uint64_t> done{0};
};

struct Listener {
  Fd fd;
  sockaddr_storage address{};
  socklen_t size = 0;
};

void require(bool fine, const char* what) {
  if (fine) return;
  std::perror(what);
  std::_Exit(3);
}

Listener listening(bool is_unix) {
  Listener made;
  auto* generic = reinterpret_cast<sockaddr*>(&made.address);
  if (is_unix) {  // no name: the kernel gives one that is no path (unix(7), autobind)
    made.address.ss_family = AF_UNIX;
    made.size = sizeof(sa_family_t);
  } else {
    auto* in = reinterpret_cast<sockaddr_in*>(&made.address);
    in->sin_family = AF_INET;
    in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    made.size = sizeof *in;
  }
  made.fd = Fd(::socket(made.address.ss_family, SOCK_STREAM, 0));
  require(::bind(made.fd.get(), generic, made.size) == 0, "bind");
  require(::listen(made.fd.get(), 16) == 0, "listen");
  made.size = sizeof made.address;
  require(::getsockname(made.fd.get(), generic, &made.size) == 0, "getsockname");
  return made;
}

// One process's share of the runs, one after the other on a loop.
class Lane final : private http::ClientOwner,
                   private http::ClientEvents,
                   private event::TimerEvents {
 public:
  Lane(uint64_t runs, uint64_t seed, Tally& tally, Ledger& ledger)
      : runs_(runs),
        tally_(tally),
        ledger_(ledger),
        random_(seed),
        adversary_(tcp_.fd, unix_.fd, ledger),
        guard_(loop_->timers(), *this) {}

  void work() {
    loop_->post([this] { next(); });
    loop_->run();
  }

 private:
  void next() {
    if (runs_-- == 0) return loop_->stop();
    run_ = draw(random_);
    asked_ = 0;
    verdict_.reset();
    guard_.arm(std::chrono::seconds(20));
    connect();
    if (!run_.turns_before || run_.earlier > 0) return ask();
    loop_->post([this] { ask(); });
  }

  void connect() {
    Listener* listener = run_.plan.is_unix ? &unix_ : &tcp_;
    if (run_.is_accepted) {
      adversary_.begin(run_.plan);
    } else {
      unaccepted_.emplace(listening(run_.plan.is_unix));
      listener = &*unaccepted_;
      ledger_.read = ledger_.read_after = 0;
      ledger_.is_reading = false;
    }
    Fd fd(::socket(listener->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const int on = 1;
    if (!run_.plan.is_unix) {
      ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    require(
        ::connect(fd.get(), reinterpret_cast<sockaddr*>(&listener->address), listener->size) == 0,
        "connect");
    ::fcntl(fd.get(), F_SETFL, O_NONBLOCK);
    auto transport = net::PlainTransport::make(*loop_, std::move(fd));
    require(transport.has_value(), "transport");
    http::ClientOwner& owner = *this;
    if (run_.is_uwsgi) {
      client_ = std::make_unique<http::UwsgiClient>(std::move(*transport), loop_->timers(), limits_,
                                                    owner);
    } else {
      client_ =
          std::make_unique<http::H1Client>(std::move(*transport), loop_->timers(), limits_, owner);
    }
  }

  bool is_last() const { return asked_ > run_.earlier; }

  void ask() {
    if (verdict_) return;  // it was gone before
    ++asked_;
    if (is_last()) {
      pause_for(run_.pause_before);
      if (run_.closes_before) unaccepted_.reset();
    }
    const uint32_t body = is_last() ? run_.body : run_.earlier_body;
    const uint32_t first = is_last() ? run_.first_part : body;
    stream_ = &client_->lease();
    stream_->set_events(*this);
    stream_->send_head(request_head(body));
    send(first);
    if (first == body) stream_->send_end();
    stream_->flush();
    if (first < body) {
      pause_for(run_.pause_within);
      send(body - first);
      stream_->send_end();
      stream_->flush();
    }
    if (is_last()) unaccepted_.reset();
  }

  void send(uint32_t bytes) {
    static const std::string kText(400'000, 'x');
    Chain chain;
    chain.append_copy({kText.data(), bytes});
    stream_->send_body(std::move(chain));
  }

  void conclude(Verdict verdict) {
    SLUICE_ASSERT(!verdict_);
    verdict_ = verdict;
    guard_.cancel();
    if (stream_ != nullptr) std::exchange(stream_, nullptr)->reset();
    loop_->defer_delete(std::move(client_));
    unaccepted_.reset();
    loop_->post([this] { note(); });
  }

  // The connection is closed on our side, so that the adversary comes to its end, too.
  void note() {
    if (run_.is_accepted && !adversary_.await()) verdict_ = Verdict::kStuck;
    const uint64_t before = uint64_t{run_.plan.earlier[0]} + run_.plan.earlier[1];
    const uint64_t read = ledger_.read;
    const uint64_t all = read + ledger_.read_after;
    Truth truth = Truth::kUnread;
    if (ledger_.is_reading || read > before) {
      truth = Truth::kRead;
    } else if (all > before) {
      truth = Truth::kReadAfterEnd;
    }
    const size_t transport = run_.plan.is_unix ? 1 : 0;
    const auto verdict = static_cast<size_t>(*verdict_);
    ++tally_.transports[transport][verdict][static_cast<size_t>(truth)];
    if (run_.is_plain_close && run_.is_accepted) ++tally_.plain[transport][verdict];
    ++tally_.done;
    next();
  }

  // -- news --
  void on_readable() override {}
  void on_writable() override {}
  void on_interim(http::ResponseHead&&) override {}
  void on_head(http::ResponseHead&&) override {
    if (is_last()) return conclude(Verdict::kAnswered);
    std::exchange(stream_, nullptr)->finish();
    if (verdict_) return;
    if (asked_ < run_.earlier || !run_.turns_before) return ask();
    loop_->post([this] { ask(); });
  }
  void on_broken(const Error&) override {
    switch (stream_->delivery()) {
      case Delivery::kNotSent: return conclude(Verdict::kNotSent);
      case Delivery::kNotReceived: return conclude(Verdict::kNotReceived);
      case Delivery::kUnknown: return conclude(Verdict::kUnknown);
    }
  }
  void on_stream_over(bool reusable) override {
    if (stream_ == nullptr && !verdict_ && !reusable) conclude(Verdict::kGone);
  }
  void on_over() override {
    if (!verdict_) conclude(Verdict::kGone);
  }
  void on_timer(event::Timer&) override { conclude(Verdict::kStuck); }

  uint64_t runs_;
  Tally& tally_;
  Ledger& ledger_;
  Random random_;
  const http::ClientLimits limits_;
  Listener tcp_ = listening(false);
  Listener unix_ = listening(true);
  std::optional<Listener> unaccepted_;
  Run run_;
  uint32_t asked_ = 0;
  std::optional<Verdict> verdict_;
  http::ClientStream* stream_ = nullptr;
  Adversary adversary_;
  std::unique_ptr<event::Loop> loop_ = std::move(*event::Loop::make());
  std::unique_ptr<http::ClientConnection> client_;
  event::Timer guard_;
};

template <typename T>
T& shared() {
  void* at = ::mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  require(at != MAP_FAILED, "mmap");
  return *new (at) T;
}

struct Options {
  uint64_t runs = 1'000'000;
  uint64_t lanes = 2;
  uint64_t seed = 1;
  bool quiet = false;
};

std::optional<Options> parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view name = argv[i];
    if (name == "--quiet") {
      options.quiet = true;
      continue;
    }
    uint64_t* const value = name == "--runs"    ? &options.runs
                            : name == "--lanes" ? &options.lanes
                            : name == "--seed"  ? &options.seed
                                                : nullptr;
    if (value == nullptr || i + 1 == argc) return std::nullopt;
    *value = std::strtoull(argv[++i], nullptr, 10);
  }
  if (options.runs == 0 || options.lanes == 0) return std::nullopt;
  return options;
}

// False: a lane ended badly.
bool run_lanes(const Options& options, Tally& tally) {
  std::vector<pid_t> lanes;
  for (uint64_t i = 0; i < options.lanes; ++i) {
    const uint64_t share =
        options.runs / options.lanes + (i < options.runs % options.lanes ? 1 : 0);
    const pid_t lane = ::fork();
    require(lane >= 0, "fork");
    if (lane == 0) {
      Lane(share, options.seed * 1000 + i, tally, shared<Ledger>()).work();
      std::_Exit(0);
    }
    lanes.push_back(lane);
  }
  bool fine = true;
  for (size_t left = lanes.size(); left > 0;) {
    int status = 0;
    if (::waitpid(-1, &status, WNOHANG) > 0) {
      --left;
      fine = fine && WIFEXITED(status) && WEXITSTATUS(status) == 0;
      continue;
    }
    pause_for(200'000);
    if (!options.quiet) {
      std::fprintf(stderr, "\r%" PRIu64 " of %" PRIu64, tally.done.load(), options.runs);
    }
  }
  if (!options.quiet) std::fprintf(stderr, "\n");
  return fine;
}

// Returns the number of false verdicts.
uint64_t print(const Tally& tally) {
  uint64_t faults = 0;
  std::printf("%-6s %-14s %12s %12s %16s %22s\n", "", "verdict", "unread", "read", "read after FIN",
              "of plain closes");
  for (size_t t = 0; t < 2; ++t) {
    for (size_t v = 0; v < kVerdicts; ++v) {
      const auto& row = tally.transports[t][v];
      uint64_t plain = 0;
      for (const auto& count : tally.plain[t]) plain += count;
      const uint64_t share = tally.plain[t][v];
      std::printf(
          "%-6s %-14s %12" PRIu64 " %12" PRIu64 " %16" PRIu64 " %14" PRIu64 " %5.1f %%\n",
          t == 0 ? "tcp" : "unix", kVerdictNames[v], row[0].load(), row[1].load(), row[2].load(),
          share,
          plain == 0 ? 0.0 : 100.0 * static_cast<double>(share) / static_cast<double>(plain));
      const auto verdict = static_cast<Verdict>(v);
      if (verdict == Verdict::kStuck) faults += row[0] + row[1] + row[2];
      if (verdict == Verdict::kNotSent || verdict == Verdict::kNotReceived) faults += row[1];
      if (verdict == Verdict::kNotSent) faults += row[2];
    }
  }
  return faults;
}

}  // namespace
}  // namespace sluice::campaign

int main(int argc, char** argv) {
  using namespace sluice::campaign;
  const auto options = parse(argc, argv);
  if (!options) {
    std::fprintf(stderr, "usage: %s [--runs N] [--lanes N] [--seed N] [--quiet]\n", argv[0]);
    return 2;
  }
  auto& tally = shared<Tally>();
  const bool fine = run_lanes(*options, tally);
  const uint64_t faults = print(tally);
  const bool whole = fine && tally.done == options->runs;
  if (!whole) std::printf("only %" PRIu64 " runs were made\n", tally.done.load());
  std::printf("%" PRIu64 " false verdicts in %" PRIu64 " runs\n", faults, tally.done.load());
  std::printf("%d passed, %d failed\n", whole && faults == 0 ? 1 : 0, whole && faults == 0 ? 0 : 1);
  return whole && faults == 0 ? 0 : 1;
}
