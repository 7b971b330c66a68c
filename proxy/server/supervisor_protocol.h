// What the supervisor and its serving processes say to each other, over a SOCK_SEQPACKET pair: one
// Message a packet, at most one descriptor with it (SCM_RIGHTS). Both ends may be of different
// releases: whoever reads another version than its own hangs up, and an upgrade that cannot talk
// fails like one that cannot start. A value; any thread.
//
//   supervisor                                   serving process
//     kWelcome, kSocket*, kTold*, kProven,  ->     at its birth, before it opens anything
//     kWatchdog, kBegin
//                                           <-     kLedger, kSocket*, kAccepting, or kFailed
//     kSignal, kTold                        ->
//                                           <-     kSocket, kSocketGone, kReloading, kReady,
//                                                  kStopping, kAlive, kProven, kUpgrade
//     kVerdict                              ->     of the upgrade, to the one that served so far
//     kRetire (its end of the line)         ->     the same; the new one gets
//     kPredecessor (the other end)          ->
//                                           <-     kCounters (a memory file) from the old one,
//     kCounters                             ->     handed on to the one that serves
//     kPredecessorGone                      ->     when the old one has ended
//
// On the line between the old and the new process, without the supervisor:
//     new -> old  kListener*, kBegin: listeners it has, by name
//     old -> new  kConnection: an idle client connection of one of them
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <type_traits>

namespace sluice::server {

constexpr uint16_t kProtocolVersion = 1;
// Where a process started by exec finds its end; a decimal descriptor.
constexpr const char* kChannelVariable = "SLUICE_SUPERVISOR_CHANNEL";

enum class Word : uint16_t {
  kWelcome = 1,      // number: a Role; text: why there was a restart
  kSocket,           // text: its name (socket_stock.h); with the listening socket
  kSocketGone,       // text: its name
  kTold,             // text: family, help, label and value, by tabs; number: the count
  kWatchdog,         // number: milliseconds between two kAlive that the service manager wants
  kBegin,            // that was all
  kLedger,           // with a memory file (observe/flight_ledger.h)
  kAccepting,        // text: for the service manager's status line
  kReloading,        //
  kReady,            // after a reload, or a drain that was taken back
  kStopping,         // drains
  kAlive,            //
  kFailed,           // text: why it cannot start
  kSignal,           // number: SIGTERM, SIGHUP, ...
  kUpgrade,          // start a successor
  kVerdict,          // number: 1 well, 0 not; text
  kRetire,           // with the line to the successor
  kPredecessor,      // with the line to the predecessor
  kPredecessorGone,  //
  kCounters,         // with a memory file: observe::Metrics::take_increment()
  kListener,         // text: its configured address
  kConnection,       // text: its listener, then zero and PROXY header if it began with one; ip,
                     // port: of the socket's other end; number: requests so far
  kProven,           // every upstream has answered once: a successor need not find out again
};

enum class Role : uint8_t { kFirst, kRestarted, kSuccessor };

struct Message {
  uint16_t version = kProtocolVersion;
  Word word = Word::kBegin;
  uint16_t port = 0;
  uint16_t text_size = 0;
  int64_t number = 0;
  std::array<uint8_t, 16> ip{};
  std::array<char, 480> bytes{};

  Message() = default;
  explicit Message(Word what, std::string_view text = {}, int64_t count = 0)
      : word(what), number(count) {
    text_size = static_cast<uint16_t>(std::min(text.size(), bytes.size()));  // cut, not refused
    if (text_size > 0) std::memcpy(bytes.data(), text.data(), text_size);    // else it may be null
  }
  std::string_view text() const {
    return {bytes.data(), std::min<size_t>(text_size, bytes.size())};
  }
};

static_assert(sizeof(Message) == 512 && std::is_trivially_copyable_v<Message>);

}  // namespace sluice::server
