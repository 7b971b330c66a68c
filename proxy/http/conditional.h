// Conditional requests: whether a representation with these validators is what the client wants, in
// the order of RFC 9110 §13.2.2, and the dates that takes (§5.6.7). Pure functions; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "proxy/http/headers.h"

namespace sluice::http {

// Seconds since the epoch; dates on the wire have no finer grain.
using UnixTime = int64_t;

struct Validators {
  std::string_view etag;  // quotes included, W/ if weak; empty: none
  std::optional<UnixTime> last_modified;
};

enum class Precondition : uint8_t {
  kHolds,        // go on (with Range, if any)
  kNotModified,  // 304
  kFailed,       // 412
};

// Requires: the method is GET or HEAD, and the answer without conditions would be 200.
// `now` resolves the two-digit years of RFC 850 dates.
Precondition check_preconditions(const Headers& request, const Validators& current, UnixTime now);

// Whether Range may be honoured (RFC 9110 §13.1.5): no If-Range, or it names exactly this version.
bool if_range_holds(const Headers& request, const Validators& current, UnixTime now);

// Whether a list of entity tags ("*" included) names `etag`. The strong comparison never matches
// weak tags (RFC 9110 §8.8.3.2). Stops at what is not by the grammar.
bool etag_list_has(std::string_view list, std::string_view etag, bool weak_comparison);

// IMF-fixdate, RFC 850 or asctime form; nullopt for anything else.
std::optional<UnixTime> parse_http_date(std::string_view text, UnixTime now);

constexpr size_t kHttpDateSize = 29;
// Writes kHttpDateSize bytes of IMF-fixdate. Requires: a year of four digits.
void format_http_date(UnixTime time, char* into);

}  // namespace sluice::http
