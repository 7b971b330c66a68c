// What several parts of the configuration are made of: places, networks, addresses, buffering.
// Plain values, any thread. How they are written: address.h.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "proxy/base/bytes.h"
#include "proxy/base/clock.h"

namespace sluice::config {

// Where a value was written, for messages that come later than the check.
struct Place {
  std::string file;
  int line = 0;
  // Two configurations that say the same are equal, wherever they say it.
  bool operator==(const Place&) const { return true; }
};

// A prefix of IPv4 or IPv6 addresses ("10.0.0.0/8"); an IPv4 one is kept mapped
// (::ffff:10.0.0.0/104).
struct Network {
  std::array<uint8_t, 16> address{};
  uint8_t bits = 128;
  bool contains(const std::array<uint8_t, 16>& mapped) const;
  bool operator==(const Network&) const = default;
};

// "0.0.0.0:8080", "[::]:8080", "unix:/run/x.sock"; port 0 lets the kernel choose (tests).
struct Address {
  std::string text;              // as written
  bool is_unix = false;
  std::string host_or_path;
  uint16_t port = 0;
  bool operator==(const Address&) const = default;
};

// So many in that time, evenly: 100/s; `burst` of them at once (0: as many as `count`).
struct Rate {
  uint32_t count = 0;  // 0: no limit
  Duration per = std::chrono::seconds(1);
  uint32_t burst = 0;
  bool operator==(const Rate&) const = default;
};

struct Buffering {
  bool request = true;
  bool response = true;
  Bytes memory = 64_KiB;         // of each body, before the disk
  Bytes disk = 1_GiB;            // of each body
  bool operator==(const Buffering&) const = default;
};

}  // namespace sluice::config
