#include "tests/campaign/adversary.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string_view>

namespace sluice::campaign {
namespace {

constexpr std::string_view kAnswer = "HTTP/1.1 204 No Content\r\n\r\n";
constexpr int kPatience = 20'000;  // milliseconds until something that must come counts as missing

void die(const char* what) {
  std::perror(what);
  ::_exit(3);
}

void pause(uint32_t microseconds) {
  if (microseconds == 0) return;
  const timespec time{microseconds / 1'000'000, static_cast<long>(microseconds % 1'000'000) * 1000};
  ::nanosleep(&time, nullptr);
}

// One connection, in the adversary's process.
class Application {
 public:
  Application(Fd connection, Ledger& ledger) : fd_(std::move(connection)), ledger_(ledger) {}

  void serve(const Plan& plan) {
    for (size_t i = 0; i < std::size(plan.earlier) && plan.earlier[i] > 0; ++i) {
      const bool is_last = i + 1 == std::size(plan.earlier) || plan.earlier[i + 1] == 0;
      if (!read(plan.earlier[i] - (is_last ? plan.unread : 0), kPatience * 1000U)) return;
      if (::send(fd_.get(), kAnswer.data(), kAnswer.size(), MSG_NOSIGNAL) < 0) return;
    }
    for (uint32_t i = 0; i < plan.steps; ++i) {
      if (!act(plan.step[i])) return;
    }
  }

 private:
  // False: the connection is over.
  bool act(const Step& step) {
    switch (step.act) {
      case Act::kPause: pause(step.count); return true;
      case Act::kRead: read(step.count, step.patience); return true;
      case Act::kAnswerPart:
        (void)::send(fd_.get(), kAnswer.data(), std::min<size_t>(step.count, kAnswer.size() - 1),
                     MSG_NOSIGNAL);
        return true;
      case Act::kEndSending:
      case Act::kEndBoth:
        ::shutdown(fd_.get(), step.act == Act::kEndBoth ? SHUT_RDWR : SHUT_WR);
        ledger_.has_ended = true;
        return true;
      case Act::kClose: return false;
      case Act::kCloseByReset: {
        const linger at_once{1, 0};
        ::setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        return false;
      }
      case Act::kExit: ::_exit(0);
      case Act::kKill: ::kill(::getpid(), SIGKILL); return false;
      case Act::kDieLater: {
        const itimerval later{{0, 0}, {0, static_cast<suseconds_t>(std::max(step.count, 1U))}};
        ::setitimer(ITIMER_REAL, &later, nullptr);
        return true;
      }
    }
    return false;
  }

  // False: the other side ended, or nothing more came in time.
  bool read(uint64_t most, uint32_t patience) {
    static char buffer[1 << 16];
    while (most > 0) {
      pollfd wait{fd_.get(), POLLIN, 0};
      const timespec time{patience / 1'000'000, static_cast<long>(patience % 1'000'000) * 1000};
      if (::ppoll(&wait, 1, &time, nullptr) <= 0) return false;
      ledger_.is_reading = true;
      const auto got = ::recv(fd_.get(), buffer, std::min<uint64_t>(most, sizeof buffer), 0);
      if (got > 0) {
        auto& count = ledger_.has_ended ? ledger_.read_after : ledger_.read;
        count += static_cast<uint64_t>(got);
      }
      ledger_.is_reading = false;
      if (got <= 0) return false;
      most -= static_cast<uint64_t>(got);
    }
    return true;
  }

  Fd fd_;
  Ledger& ledger_;
};

[[noreturn]] void live(const Fd& control, const Fd& tcp, const Fd& unix_path, Ledger& ledger) {
  std::signal(SIGALRM, SIG_DFL);
  for (;;) {
    Plan plan;
    if (::recv(control.get(), &plan, sizeof plan, 0) != sizeof plan) ::_exit(0);
    Fd connection(::accept(plan.is_unix ? unix_path.get() : tcp.get(), nullptr, nullptr));
    if (!connection.is_open()) die("accept");
    Application(std::move(connection), ledger).serve(plan);
    const itimerval never{};
    ::setitimer(ITIMER_REAL, &never, nullptr);
    const char done = 1;
    if (::send(control.get(), &done, 1, MSG_NOSIGNAL) != 1) ::_exit(0);
  }
}

}  // namespace

Adversary::~Adversary() {
  control_.reset();  // it ends at that
  if (process_ > 0) ::waitpid(process_, nullptr, 0);
}

void Adversary::start() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) != 0) die("socketpair");
  control_ = Fd(ends[0]);
  const Fd its(ends[1]);
  process_ = ::fork();
  if (process_ < 0) die("fork");
  if (process_ > 0) return;
  control_.reset();
  live(its, tcp_, unix_, ledger_);
}

void Adversary::begin(const Plan& plan) {
  if (process_ < 0) start();
  ledger_.read = ledger_.read_after = 0;
  ledger_.is_reading = ledger_.has_ended = false;
  if (::send(control_.get(), &plan, sizeof plan, MSG_NOSIGNAL) != sizeof plan) die("send");
}

bool Adversary::await() {
  pollfd wait{control_.get(), POLLIN, 0};
  if (::poll(&wait, 1, kPatience) <= 0) return false;
  char done = 0;
  if (::recv(control_.get(), &done, 1, 0) == 1) return true;
  ::waitpid(process_, nullptr, 0);
  process_ = -1;
  return true;
}

}  // namespace sluice::campaign
