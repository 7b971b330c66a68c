// What one run of the campaign does, drawn at random: the request and the moment it is sent on our
// side, the adversary's plan on the other.
#pragma once

#include <cstdint>
#include <random>
#include <string>

#include "proxy/http/message.h"
#include "tests/campaign/adversary.h"

namespace sluice::campaign {

using Random = std::mt19937_64;

struct Run {
  bool is_uwsgi = false;
  bool is_accepted = true;     // else the listener is closed with the connection in its queue
  bool closes_before = false;  // that listener, before the request is sent
  bool turns_before = false;   // the loop has its turn between the last answer and the request
  uint32_t pause_before = 0;   // microseconds before the request is sent
  uint32_t body = 0;           // bytes of the request; 0: none
  uint32_t first_part = 0;     // of them sent at first; the rest after pause_within
  uint32_t pause_within = 0;
  uint32_t earlier = 0;  // requests before on this connection
  uint32_t earlier_body = 0;
  uint32_t size = 0;  // of the whole request on the wire
  // The adversary closes without having read, or having been sent, anything of the request.
  bool is_plain_close = false;
  Plan plan;
};

Run draw(Random& random);
// The request's head as it is sent; the views are static.
http::RequestHead request_head(uint32_t body);
// Waits without giving the processor away where the time is short.
void pause_for(uint32_t microseconds);

}  // namespace sluice::campaign
