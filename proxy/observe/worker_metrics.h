// WorkerMetrics: what one worker counts, in plain memory of its own. Written by the worker's thread
// only; read by whoever renders the metrics. Made by Metrics, lives as long as it.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "proxy/base/clock.h"
#include "proxy/observe/flight_ledger.h"
#include "proxy/observe/metric_cells.h"
#include "proxy/observe/metric_ids.h"
#include "proxy/observe/record.h"

namespace sluice::observe {

struct RouteCell {
  CodeCounts codes;
  Count bytes_in;
  Count bytes_out;
  HistogramCell seconds;
};

struct UpstreamCell {
  HistogramCell seconds;
  HistogramCell hold_seconds;
  Gauge held;
  std::array<Count, kRetryProofs> retries;
};

struct EndpointCell {
  CodeCounts codes;
  std::array<Gauge, kUpstreamConnectionStates> connections;
  Count connects;
  Count connect_failures;
};

struct ListenerCell {
  std::array<Gauge, kConnectionStates> connections;
  std::array<Count, kConnectionEnds> ended;
  std::array<Count, kHandshakes> handshakes;
  Count accepts;
  Count pauses;
};

class WorkerMetrics {
 public:
  // Requires: both outlive this.
  WorkerMetrics(const Buckets& buckets, FlightLedger::Line& flight)
      : buckets_(buckets), flight_(flight) {}

  // Towards clients. An exchange is in flight from begun to done.
  void on_request_begun() { flight_.requests.add(1); }
  void on_request_done(RouteId route, const Record& record);
  void accepted(ListenerId listener) { listeners_.at(listener.index).accepts.add(); }
  void accept_paused(ListenerId listener) { listeners_.at(listener.index).pauses.add(); }
  void ended(ListenerId listener, ConnectionEnd how) {
    listeners_.at(listener.index).ended[static_cast<size_t>(how)].add();
  }
  void shaken(ListenerId listener, Handshake how) {
    listeners_.at(listener.index).handshakes[static_cast<size_t>(how)].add();
  }
  void connections(ListenerId listener, ConnectionState state, int64_t by) {
    listeners_.at(listener.index).connections[static_cast<size_t>(state)].add(by);
    if (state == ConnectionState::kNew || state == ConnectionState::kIdle) flight_.waiting.add(by);
  }
  // A request, or a connection before its first one, that was not served. Exchanges need not call
  // it: on_request_done counts the record's reason.
  void dropped(std::string_view reason) { dropped_.add(reason); }
  // A ceiling was met, whether or not it cost somebody a request ("headers", "connections").
  void limit_hit(std::string_view limit) { limits_.add(limit); }

  // Of requests that became tunnels; `received` from the client, `sent` to it.
  void tunnel_opened() { tunnels_.add(1); }
  void tunnel_ended(TunnelEnd how) {
    tunnels_.add(-1);
    tunnels_ended_[static_cast<size_t>(how)].add();
  }
  void tunnel_bytes(uint64_t received, uint64_t sent) {
    tunnel_received_.add(received);
    tunnel_sent_.add(sent);
  }

  // HTTP/2 towards clients.
  void h2_connections(int64_t by) { h2_connections_.add(by); }
  void h2_stream_over(H2StreamEnd how) { h2_streams_[static_cast<size_t>(how)].add(); }

  // Towards upstreams. One attempt: code 0 when no answer came.
  void on_upstream_done(EndpointId endpoint, int code, Duration took);
  void connected(EndpointId endpoint, bool well);
  void connections(EndpointId endpoint, UpstreamConnectionState state, int64_t by) {
    endpoints_.at(endpoint.index).connections[static_cast<size_t>(state)].add(by);
  }
  void retried(UpstreamId upstream, RetryProof proof) {
    upstreams_.at(upstream.index).retries[static_cast<size_t>(proof)].add();
  }
  void held(UpstreamId upstream, int64_t by) { upstreams_.at(upstream.index).held.add(by); }
  void on_hold_over(UpstreamId upstream, Duration waited) {
    upstreams_.at(upstream.index).hold_seconds.observe(buckets_, waited);
  }

  // Memory that bodies take now.
  void buffered(int64_t bytes) { buffered_bytes_.set(bytes); }

 private:
  friend class Collector;  // reads it all
  friend class Metrics;    // the same

  const Buckets& buckets_;
  FlightLedger::Line& flight_;
  Count requests_;
  Count unserved_;  // of them those with a reason
  Gauge buffered_bytes_;
  Gauge tunnels_;
  std::array<Count, kTunnelEnds> tunnels_ended_;
  Count tunnel_received_;
  Count tunnel_sent_;
  Gauge h2_connections_;
  std::array<Count, kH2StreamEnds> h2_streams_;
  CellTable<RouteCell> routes_;
  CellTable<UpstreamCell> upstreams_;
  CellTable<EndpointCell> endpoints_;
  CellTable<ListenerCell> listeners_;
  ReasonCounts dropped_;
  ReasonCounts limits_;
};

}  // namespace sluice::observe
