#include "proxy/http/headers.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "proxy/base/assert.h"
#include "proxy/base/text.h"

namespace sluice::http {
namespace {

constexpr size_t kIds = static_cast<size_t>(HeaderId::kCount_);

// In the order of HeaderId.
// clang-format off
constexpr std::array<std::string_view, kIds> kNames = {
    "",
    "Accept", "Accept-Encoding", "Accept-Ranges", "Age", "Allow", "Authorization", "Cache-Control",
    "Connection", "Content-Disposition", "Content-Encoding", "Content-Length", "Content-Range",
    "Content-Type", "Cookie", "Date", "ETag", "Expect", "Expires", "Forwarded", "Host",
    "HTTP2-Settings", "Idempotency-Key", "If-Match", "If-Modified-Since", "If-None-Match",
    "If-Range", "If-Unmodified-Since", "Keep-Alive", "Last-Modified", "Link", "Location",
    "Max-Forwards", "Origin", "Priority", "Proxy", "Proxy-Authenticate", "Proxy-Authorization",
    "Proxy-Connection", "Range", "Referer", "Retry-After", "Sec-WebSocket-Accept",
    "Sec-WebSocket-Key", "Server", "Set-Cookie", "TE", "traceparent", "Trailer",
    "Transfer-Encoding", "Upgrade", "User-Agent", "Vary", "Via", "WWW-Authenticate",
    "X-Accel-Buffering", "X-Accel-Redirect", "X-Amzn-Trace-Id", "X-Forwarded-For",
    "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Proto", "X-Real-IP", "X-Request-Id",
};
// clang-format on
static_assert(kNames[kIds - 1] == "X-Request-Id");

// A perfect hash found by the compiler: length and four letters tell all known names apart.
constexpr size_t kSlots = 512;

constexpr size_t slot_of(std::string_view name, uint32_t seed) {
  const auto letter = [name](size_t i) {
    return static_cast<uint32_t>(static_cast<unsigned char>(name[i])) | 0x20;
  };
  const size_t size = name.size();
  const uint32_t key = letter(0) | letter(size * 5 / 8) << 8 | letter(size - 1) << 16 |
                       (letter(size * 7 / 8) ^ static_cast<uint32_t>(size * 7)) << 24;
  return (key * seed) >> 23;  // 9 bits: kSlots
}

struct Index {
  uint32_t seed = 0;
  std::array<HeaderId, kSlots> ids{};
};

constexpr bool try_seed(Index& index) {
  index.ids = {};
  for (size_t id = 1; id < kIds; ++id) {
    HeaderId& slot = index.ids[slot_of(kNames[id], index.seed)];
    if (slot != HeaderId::kOther) return false;
    slot = static_cast<HeaderId>(id);
  }
  return true;
}

constexpr Index make_index() {
  Index index;
  for (index.seed = 0x9e3779b1; !try_seed(index);) index.seed += 0x3c6ef372;
  return index;
}

constexpr Index kIndex = make_index();

}  // namespace

HeaderId header_id(std::string_view name) {
  if (name.empty()) return HeaderId::kOther;
  const HeaderId id = kIndex.ids[slot_of(name, kIndex.seed)];
  const std::string_view known = kNames[static_cast<size_t>(id)];
  if (known.size() != name.size()) return HeaderId::kOther;
  if (std::memcmp(known.data(), name.data(), name.size()) == 0) return id;
  return iequals(known, name) ? id : HeaderId::kOther;
}

std::string_view name_of(HeaderId id) {
  SLUICE_ASSERT(id != HeaderId::kOther && id < HeaderId::kCount_);
  return kNames[static_cast<size_t>(id)];
}

void Headers::add(std::string_view name, std::string_view value) {
  const HeaderId id = header_id(name);
  const std::string_view kept = arena_.copy(name);
  fields_.push_back({id, kept, arena_.copy(value)});
}

void Headers::add(HeaderId id, std::string_view value) {
  fields_.push_back({id, name_of(id), arena_.copy(value)});
}

void Headers::set(std::string_view name, std::string_view value) {
  // Copied before the old ones go: either view may be of a field that is removed here.
  const HeaderId id = header_id(name);
  const std::string_view kept_name = arena_.copy(name);
  const std::string_view kept_value = arena_.copy(value);
  remove(kept_name);
  fields_.push_back({id, kept_name, kept_value});
}

void Headers::set(HeaderId id, std::string_view value) {
  const std::string_view kept = arena_.copy(value);
  remove(id);
  fields_.push_back({id, name_of(id), kept});
}

size_t Headers::remove(HeaderId id) {
  return std::erase_if(fields_, [id](const Field& f) { return f.id == id; });
}

size_t Headers::remove(std::string_view name) {
  const HeaderId id = header_id(name);
  if (id != HeaderId::kOther) return remove(id);
  return std::erase_if(fields_, [name](const Field& f) {
    return f.id == HeaderId::kOther && iequals(f.name, name);
  });
}

const Headers::Field* Headers::find(HeaderId id) const {
  for (const Field& field : fields_) {
    if (field.id == id) return &field;
  }
  return nullptr;
}

const Headers::Field* Headers::find(std::string_view name) const {
  const HeaderId id = header_id(name);
  if (id != HeaderId::kOther) return find(id);
  for (const Field& field : fields_) {
    if (field.id == HeaderId::kOther && iequals(field.name, name)) return &field;
  }
  return nullptr;
}

std::string_view Headers::get(HeaderId id) const {
  const Field* field = find(id);
  return field == nullptr ? std::string_view{} : field->value;
}

std::string_view Headers::get(std::string_view name) const {
  const Field* field = find(name);
  return field == nullptr ? std::string_view{} : field->value;
}

size_t Headers::count(HeaderId id) const {
  size_t n = 0;
  for (const Field& field : fields_) n += field.id == id ? 1 : 0;
  return n;
}

std::string_view Headers::joined(HeaderId id) {
  size_t n = 0;
  size_t size = 0;
  std::string_view first;
  for (const Field& field : fields_) {
    if (field.id != id) continue;
    if (n++ == 0) first = field.value;
    size += field.value.size() + 2;
  }
  if (n < 2) return first;
  size -= 2;
  char* const begin = arena_.allocate(size);
  char* at = begin;
  for (const Field& field : fields_) {
    if (field.id != id) continue;
    if (at != begin) {
      *at++ = ',';
      *at++ = ' ';
    }
    at = std::copy(field.value.begin(), field.value.end(), at);
  }
  return {begin, static_cast<size_t>(at - begin)};
}

Headers Headers::copy() const {
  Headers out;
  out.fields_.reserve(fields_.size());
  for (const Field& field : fields_) {
    const std::string_view name = field.id == HeaderId::kOther || field.name != name_of(field.id)
                                      ? out.arena_.copy(field.name)
                                      : name_of(field.id);
    out.fields_.push_back({field.id, name, out.arena_.copy(field.value)});
  }
  return out;
}

}  // namespace sluice::http
