// The words metrics are labelled with: dense ids for what has a name in the configuration (given by
// Metrics on the control thread, carried by the snapshot to the workers) and the closed sets of
// states. Ids outlive reloads: the same name gets the same id, so counters go on. Values, any
// thread.
#pragma once

#include <cstdint>
#include <string_view>

namespace sluice::observe {

constexpr uint32_t kNoName = 0;     // label "none": no route matched
constexpr uint32_t kOtherName = 1;  // label "other": the table of names is full

struct RouteId {
  uint32_t index = kNoName;
};
struct ListenerId {
  uint32_t index = kNoName;
};
struct UpstreamId {
  uint32_t index = kNoName;
};
struct EndpointId {
  UpstreamId upstream;
  uint32_t index = kNoName;
};

enum class ConnectionState : uint8_t {
  kNew,      // accepted: PROXY header, TLS, nothing asked yet
  kActive,   // at least one exchange
  kIdle,     // kept alive
  kClosing,  // reading on until the client's FIN
};
constexpr uint8_t kConnectionStates = 4;

// How a client's connection ended: accepts = open + ended, at any time.
enum class ConnectionEnd : uint8_t {
  kClient,      // the client closed it, or was lost
  kAnswer,      // after an answer that said so, or one that was cut
  kTimeout,     // idle, silent or slow for too long
  kOrder,       // closed for a drain, or to make room
  kHandedOver,  // goes on in another process
  kFailed,      // could not be watched
  kRefused,     // before anything was asked: what had to come first was wrong
};
constexpr uint8_t kConnectionEnds = 7;

// How TLS with a client began, or did not.
enum class Handshake : uint8_t {
  k12,  // with TLS 1.2
  k12Resumed,
  k13,
  k13Resumed,
  kFailed,   // nothing in common, or a certificate that was missing or wrong
  kTimeout,  // its deadline passed
  kLeft,     // the client left in the middle of it
  kPlain,    // what came was not TLS
  kCeiling,  // too many at the same time
};
constexpr uint8_t kHandshakes = 9;

// How a request of an HTTP/2 connection came to its end.
enum class H2StreamEnd : uint8_t {
  kAnswered,
  kClientReset,  // the client took it back
  kReset,        // broken off by us: malformed, cut, too slow, or with the connection
  kRefused,      // never looked at: above a ceiling, or after GOAWAY
};
constexpr uint8_t kH2StreamEnds = 4;

enum class UpstreamConnectionState : uint8_t { kConnecting, kActive, kIdle };
constexpr uint8_t kUpstreamConnectionStates = 3;

// DESIGN, law 5.
enum class RetryProof : uint8_t { kNeverSent, kNotReceived, kAmbiguous };
constexpr uint8_t kRetryProofs = 3;

// What is believed of an endpoint; upstream/endpoint_machine.h says what each means.
enum class EndpointState : uint8_t {
  kGone,  // no longer configured: not shown
  kStarting,
  kReady,
  kSuspect,
  kHolding,
  kDraining,
};

// How a tunnel ended: by whom, or for what we ended it.
enum class TunnelEnd : uint8_t {
  kClient,         // its Close frame or FIN came first
  kUpstream,       // the same
  kClientReset,    // lost
  kUpstreamReset,  // the same
  kIdle,           // tunnel.idle
  kMaxAge,         // tunnel.max_age
  kDrain,          // politely
  kCut,            // the deadline of a drain found it open
};
constexpr uint8_t kTunnelEnds = 8;

constexpr std::string_view name_of(TunnelEnd end) {
  constexpr std::string_view kNames[kTunnelEnds] = {
      "client", "upstream", "client_reset", "upstream_reset", "idle", "max_age", "drain", "cut"};
  return kNames[static_cast<uint8_t>(end)];
}

enum class DrainState : uint8_t { kServing, kAnnouncing, kFinishing };

}  // namespace sluice::observe
