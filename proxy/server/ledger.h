// Ledger: the books of one process, as its log gets them at the end. Values; any thread.
//
// What is counted where, so that it balances:
// - A connection is counted by observe::WorkerMetrics::accepted() when the kernel gave it to us
//   (accepts_total) and by ended() when its session is over (connections_ended_total{by}); between
//   the two it is in connections{state}. One that is still in a closed listener's queue was never
//   ours: a listener is emptied before it is closed (server/departures, server/process_drain).
// - A request is begun when its head is in (an Exchange is made) or when what came in its place was
//   refused (http::Rejection). Until its last word it is in http_requests_in_flight; with it, it is
//   in http_requests_total{route,code} under the status it got (499: the client left first).
// - If that last word has a reason it is in dropped_total{reason} as well: sluice answered by
//   itself (exchange/outcome), cut it (drain_deadline), or the client left (client_*). What the
//   upstream answered, errors included, and what a route says itself has none.
// - A tunnel is a request that was served by 101; how it ended is in tunnels_ended_total{by}. Only
//   one that a deadline finds open is cut, and listed. A stream of events that the deadline ends
//   is ended well.
// So: accepts = ended + open; requests begun = over + in flight; over = served + listed here.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace sluice::server {

struct Ledger {
  uint64_t requests = 0;  // over
  uint64_t unserved = 0;  // of them those with a reason
  uint64_t connections = 0;
  std::map<std::string, uint64_t> drops;  // by reason
};

// "served 7 requests on 3 connections; not served: none"
// "served 4 requests on 3 connections; not served: 3 (queue_timeout 2, client_closed 1)"
std::string summary(const Ledger& ledger);

}  // namespace sluice::server
