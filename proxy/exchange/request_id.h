// Request ids: 128 bits that do not repeat, as 32 hex digits. Not secret and no proof of anything:
// from a fast generator that each thread seeds once from the kernel. Any thread.
#pragma once

#include <cstddef>
#include <string_view>

namespace sluice::exchange {

inline constexpr size_t kRequestIdSize = 32;
// Requires: room for kRequestIdSize characters.
void make_request_id(char* into);
// 1 to 128 visible ASCII characters: what another's id must be to be passed on.
bool is_sane_request_id(std::string_view id);

}  // namespace sluice::exchange
