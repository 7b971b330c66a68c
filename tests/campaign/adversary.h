// The adversary of a campaign: an application in a process of its own that does what a plan says to
// one connection: reads some of the request, ends its side in some way, at some moment. What it has
// read is in a ledger that outlives it, written so that a death between reading and writing counts
// as read.
#pragma once

#include <atomic>
#include <cstdint>

#include <sys/types.h>

#include "proxy/base/fd.h"

namespace sluice::campaign {

enum class Act : uint8_t {
  kPause,       // `count` microseconds
  kRead,        // at most `count` bytes of what comes within `patience` microseconds
  kAnswerPart,  // the first `count` bytes of an answer
  kEndSending,  // shutdown(SHUT_WR)
  kEndBoth,     // shutdown(SHUT_RDWR)
  kClose,
  kCloseByReset,  // SO_LINGER 0
  kExit,
  kKill,      // SIGKILL
  kDieLater,  // a signal ends the process after `count` microseconds, whatever it does then
};

struct Step {
  Act act = Act::kClose;
  uint32_t count = 0;
  uint32_t patience = 0;
};

struct Plan {
  bool is_unix = false;
  uint32_t earlier[2] = {0, 0};  // bytes of the requests before; 0: none
  uint32_t unread = 0;           // of the last of them, when it is answered
  uint32_t steps = 0;
  Step step[8];  // then the end: close()
};

// In memory that both processes see; begun anew for each plan.
struct Ledger {
  std::atomic<uint64_t> read{0};        // on this connection, before the adversary sent its FIN
  std::atomic<uint64_t> read_after{0};  // after it
  std::atomic<bool> is_reading{false};  // bytes were there, and are being taken
  std::atomic<bool> has_ended{false};   // its FIN is out
};

class Adversary {
 public:
  // Requires: the listeners outlive it.
  Adversary(const Fd& tcp, const Fd& unix_path, Ledger& ledger)
      : tcp_(tcp), unix_(unix_path), ledger_(ledger) {}
  ~Adversary();

  // It accepts the next connection of the plan's kind. Starts a new process if the last one died.
  void begin(const Plan& plan);
  // Waits until it is through, or dead. False: it never came.
  bool await();

 private:
  void start();

  const Fd& tcp_;
  const Fd& unix_;
  Ledger& ledger_;
  pid_t process_ = -1;
  Fd control_;
};

}  // namespace sluice::campaign
