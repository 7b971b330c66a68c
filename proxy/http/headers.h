// Headers: the fields of one message, in order, repeated names kept apart. Names keep their
// spelling and compare without case (RFC 9110 §5.1). Owns its bytes in an arena; views stay valid
// until the Headers die, also across a move. Linear search: a message has few fields, and ids make
// it cheap.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "proxy/base/arena.h"
#include "proxy/base/recycled.h"

namespace sluice::http {

// Names that some code of ours asks for. kOther is everything else.
// clang-format off
enum class HeaderId : uint8_t {
  kOther,
  kAccept, kAcceptEncoding, kAcceptRanges, kAge, kAllow, kAuthorization, kCacheControl, kConnection,
  kContentDisposition, kContentEncoding, kContentLength, kContentRange, kContentType, kCookie,
  kDate, kETag, kExpect, kExpires, kForwarded, kHost, kHttp2Settings, kIdempotencyKey, kIfMatch,
  kIfModifiedSince, kIfNoneMatch, kIfRange, kIfUnmodifiedSince, kKeepAlive, kLastModified, kLink,
  kLocation, kMaxForwards, kOrigin, kPriority, kProxy, kProxyAuthenticate, kProxyAuthorization,
  kProxyConnection, kRange, kReferer, kRetryAfter, kSecWebSocketAccept, kSecWebSocketKey, kServer,
  kSetCookie, kTe, kTraceparent, kTrailer, kTransferEncoding, kUpgrade, kUserAgent, kVary, kVia,
  kWwwAuthenticate, kXAccelBuffering, kXAccelRedirect, kXAmznTraceId, kXForwardedFor,
  kXForwardedHost, kXForwardedPort, kXForwardedProto, kXRealIp, kXRequestId,
  kCount_,
};
// clang-format on

// The id of a name in any case; kOther when unknown.
HeaderId header_id(std::string_view name);
// The usual spelling ("Content-Length"). Requires: not kOther.
std::string_view name_of(HeaderId id);

class Headers {
 public:
  struct Field {
    HeaderId id = HeaderId::kOther;
    std::string_view name;
    std::string_view value;
  };

  // The bytes are copied in.
  void add(std::string_view name, std::string_view value);
  void add(HeaderId id, std::string_view value);
  // The bytes are already in arena() (a parser's) or static; no copy.
  void add_in_place(HeaderId id, std::string_view name, std::string_view value) {
    fields_.push_back({id, name, value});
  }
  // Removes all of that name, then adds one.
  void set(std::string_view name, std::string_view value);
  void set(HeaderId id, std::string_view value);
  size_t remove(HeaderId id);
  size_t remove(std::string_view name);
  template <typename Predicate>
  size_t remove_if(Predicate predicate) {
    return std::erase_if(fields_, predicate);
  }

  const Field* find(HeaderId id) const;
  const Field* find(std::string_view name) const;
  bool has(HeaderId id) const { return find(id) != nullptr; }
  // The value of the first of that name; empty when there is none.
  std::string_view get(HeaderId id) const;
  std::string_view get(std::string_view name) const;
  size_t count(HeaderId id) const;
  // All values of a list field joined by ", " (RFC 9110 §5.3). Copies only when there are several.
  std::string_view joined(HeaderId id);

  bool empty() const { return fields_.empty(); }
  size_t size() const { return fields_.size(); }
  void reserve(size_t fields) { fields_.reserve(fields); }
  auto begin() const { return fields_.begin(); }
  auto end() const { return fields_.end(); }
  auto begin() { return fields_.begin(); }
  auto end() { return fields_.end(); }
  Arena& arena() { return arena_; }
  Headers copy() const;

 private:
  std::vector<Field, RecycledAllocator<Field>> fields_;
  Arena arena_;
};

}  // namespace sluice::http
