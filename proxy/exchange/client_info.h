// ClientInfo: what the session knows of a connection and tells each exchange.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "proxy/config/values.h"
#include "proxy/exchange/client_table.h"
#include "proxy/net/address.h"
#include "proxy/net/certificate_facts.h"
#include "proxy/net/proxy_header.h"

namespace sluice::exchange {

// The exchange keeps a copy.
struct ClientInfo {
  net::IpText address;  // the other end, without port; empty: a unix socket
  uint16_t port = 0;
  std::string_view local_address;                      // ours; outlives the exchange
  uint16_t local_port = 0;                             // of the listener; 0: a unix socket
  bool trusted = false;                                // the other end is one of trusted_proxies
  std::span<const config::Network> trusted_proxies;    // valid while start() runs
  uint64_t body_limit = 0;                             // limits.body of the listener
  const ClientRate* request_rate = nullptr;            // outlives the exchange; null: none
  int descriptor = -1;                                 // of the connection, to ask the kernel about
  const net::ProxiedClient* proxied = nullptr;         // came by a PROXY header; outlives us
  const bool* ends_tunnels = nullptr;                  // that no more begin; outlives us
  const net::CertificateFacts* certificate = nullptr;  // shown by TLS; outlives the exchange
};

}  // namespace sluice::exchange
