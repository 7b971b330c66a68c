// Relay: the two flows of an exchange. RequestRelay takes the client's body, either to its end
// before anybody is asked (the shield) or streaming; ResponseRelay takes the answer's body from an
// upstream or from this process and gives it to the client. Each is pulled by pump(), which moves
// what can be moved now and says what it waits for. A slow reader pauses the fast writer, or the
// store takes the slack. Owned by the exchange; its thread only.
#pragma once

#include <cstdint>
#include <optional>

#include "proxy/exchange/body_store.h"
#include "proxy/exchange/outcome.h"
#include "proxy/filter/chain.h"
#include "proxy/http/stream.h"

namespace sluice::exchange {

// What holds a flow up. kFailed: outcome() says why.
enum class Flow : uint8_t { kWaitsForSource, kWaitsForSink, kYields, kDone, kFailed };

class RequestRelay {
 public:
  RequestRelay(http::ServerStream& client, filter::FilterChain& filters, SpillBudget& budget,
               const config::Buffering& limits, uint64_t memory_ceiling, uint64_t most)
      : client_(client), filters_(filters), store_(budget, limits, memory_ceiling), most_(most) {}

  // Takes the body into the store. kDone: it is whole.
  Flow pump_to_store();
  // Moves the body on. kDone: all of it and its end were queued.
  Flow pump_to(http::ClientStream& upstream);
  // The whole body again, for a try. Requires: pump_to_store() is done.
  Chain replay() const { return store_.replay(); }
  // No try will need it again.
  void forget() { store_.clear(); }

  bool has_begun() const { return taken_ > 0; }  // bytes were taken that cannot be had again
  uint64_t size() const { return taken_; }
  uint64_t stored() const { return store_.size(); }  // after filters
  uint64_t held() const { return store_.held(); }
  const Outcome& outcome() const { return outcome_; }

 private:
  http::BodyRead read(Chain& bytes);
  Flow end_of_store();
  Flow fail(const Outcome& outcome);

  http::ServerStream& client_;
  filter::FilterChain& filters_;
  BodyStore store_;
  const uint64_t most_;  // limits.body
  uint64_t taken_ = 0;   // from the client, before filters
  bool ended_ = false;   // end was sent on (streaming) or the store is whole
  Outcome outcome_;
};

class ResponseRelay {
 public:
  ResponseRelay(http::ServerStream& client, filter::FilterChain& filters, SpillBudget& budget,
                const config::Buffering& limits, uint64_t memory_ceiling)
      : client_(client),
        filters_(filters),
        store_(budget, limits, memory_ceiling),
        limits_(limits) {}

  // The answer's body comes from there. `buffered`: at the upstream's full speed.
  void from_upstream(http::ClientStream& upstream, bool buffered);
  void from_memory(Chain&& body) { local_ = std::move(body); }

  // kDone: everything is with the kernel. While the source is an upstream that has ended, its
  // stream can be given back already: source_ended().
  Flow pump();
  bool source_ended() const { return upstream_ == nullptr; }
  // The body ends here, whatever else would come.
  void end_source();
  // Nothing of the body was given to the client, and more would come (a fault can still be
  // answered).
  uint64_t given() const { return given_; }
  uint64_t held() const { return store_.held() + local_.pinned(); }
  const Outcome& outcome() const { return outcome_; }

 private:
  Flow pump_upstream();
  Flow pump_local();
  void give(Chain&& bytes);
  void hold_back(Chain&& bytes);
  Flow fail(const Outcome& outcome);
  bool client_has_room() const {
    return client_.unsent() < (store_.is_short() ? 1 : limits_.memory.count);
  }

  http::ServerStream& client_;
  filter::FilterChain& filters_;
  BodyStore store_;
  const config::Buffering limits_;
  http::ClientStream* upstream_ = nullptr;  // null once ended
  bool buffered_ = true;
  bool end_sent_ = false;
  std::optional<http::Headers> trailers_;
  Chain local_;
  uint64_t given_ = 0;
  Outcome outcome_;
};

}  // namespace sluice::exchange
