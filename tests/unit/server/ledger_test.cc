#include "proxy/server/ledger.h"

#include <doctest/doctest.h>

using sluice::server::Ledger;
using sluice::server::summary;

TEST_CASE("ledger: all well") {
  CHECK(summary({}) == "served 0 requests on 0 connections; not served: none");
  CHECK(summary({.requests = 1, .unserved = 0, .connections = 1, .drops = {}}) ==
        "served 1 request on 1 connection; not served: none");
}

TEST_CASE("ledger: what was not served is listed, the most frequent reason first") {
  const Ledger ledger{.requests = 10,
                      .unserved = 4,
                      .connections = 3,
                      .drops = {{"client_closed", 1}, {"drain_deadline", 1}, {"queue_timeout", 2}}};
  CHECK(summary(ledger) ==
        "served 6 requests on 3 connections; not served: 4 (queue_timeout 2, client_closed 1, "
        "drain_deadline 1)");
}
