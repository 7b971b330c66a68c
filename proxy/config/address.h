// Addresses and networks as they are written: "0.0.0.0:8080", "[::]:8080", "unix:/run/x.sock",
// "10.0.0.0/8". Nothing is looked up: a name is refused (endpoint_text.h takes names). Pure
// functions; any thread.
// An error's detail says what would be right.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "proxy/base/result.h"
#include "proxy/config/values.h"

namespace sluice::config {

enum class AddressUse : uint8_t {
  kListen,   // ":8080" means every IPv4 address; port 0 lets the kernel choose
  kConnect,  // host and port have to be said
};

Result<Address> parse_address(std::string_view text, AddressUse use);
// A plain address is a network of one. Bits behind the prefix are refused: "10.1.2.3/8" is a slip.
Result<Network> parse_network(std::string_view text);
// "10.0.0.7" (kept mapped, ::ffff:10.0.0.7) or "fd00::7"; no brackets, no port, no zone.
std::optional<std::array<uint8_t, 16>> parse_ip(std::string_view text);
// "10.0.0.0/8", the IPv4 form for mapped ones.
std::string format_network(const Network& network);

}  // namespace sluice::config
