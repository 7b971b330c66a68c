// What an H1Server holds from the first byte of a head until its answer is out and its body read or
// discarded; an idle connection has none. Only h1_server*.cc may see this.
#pragma once

#include <optional>

#include "proxy/base/recycled.h"
#include "proxy/http/body_decoder.h"
#include "proxy/http/h1_server.h"
#include "proxy/http/intake.h"

namespace sluice::http {

struct H1Server::Request : Recycled<H1Server::Request> {
  // kShut: of a tunnel, our FIN is out.
  enum class Sending : uint8_t { kHead, kBody, kEnd, kShut };
  // kWanted: read_body() said kBlocked, on_readable() is owed. Only then the client's clock runs.
  enum class Receiving : uint8_t { kBody, kWanted, kEnd, kBroken };

  Intake in;
  size_t scanned = 0;  // of the head, for the parser
  Chain out;           // bounded by whoever sends: it holds back above its mark
  ServerEvents* events = nullptr;

  Sending sending = Sending::kHead;
  BodyFraming framing = BodyFraming::kNone;  // of the answer
  uint64_t unsent_length = 0;                // of a kLength answer: what is still to be queued
  TimePoint send_deadline = TimePoint::max();
  uint64_t written = 0;  // of the answer, given to the kernel
  Duration stalled{0};   // while there was more than it took
  TimePoint stalled_since;
  bool blocked = false;  // the last write was; on_writable() comes
  bool late = false;     // the client has not taken the answer in its time
  bool dead = false;     // the transport failed: nothing can be said any more
  bool dead_told = false;

  Receiving receiving = Receiving::kEnd;
  BodyDecoder decoder;
  uint64_t received = 0;   // bytes of the body on the wire
  uint64_t discarded = 0;  // of them after finish()
  Duration waited{0};      // while somebody asked for the body
  TimePoint waiting_since;

  std::optional<Error> news;  // on_broken() on its way
  bool http10 = false;
  bool to_head = false;
  bool continue_owed = false;  // Expect: 100-continue, neither answered nor overtaken
  bool close = false;          // the connection ends with this answer
  bool begun = false;          // kProtocol is out: the next head begins behind it
  bool client_closes = false;  // the client said so first: it sends nothing more
  bool tunnel = false;         // 101 was sent: no longer HTTP

  bool is_received() const { return receiving == Receiving::kEnd; }
};

}  // namespace sluice::http
