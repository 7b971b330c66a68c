#include "proxy/net/srv_reply.h"

#include <algorithm>
#include <optional>
#include <tuple>
#include <utility>

#include "proxy/base/text.h"

namespace sluice::net {
namespace {

constexpr size_t kHeader = 12;
constexpr uint16_t kTypeCname = 5;
constexpr uint16_t kTypeSrv = 33;
constexpr uint16_t kClassIn = 1;
constexpr size_t kMostName = 255;     // RFC 1035 §2.3.4
constexpr int kMostPointers = 32;     // a name of loops is no name
constexpr uint32_t kMostTtl = 86400;  // a day; also what RFC 2181 §8 would read as negative

tl::unexpected<Error> malformed() {
  return fail(ErrorCode::kMalformed, Side::kUpstream, "the name server's reply makes no sense");
}

bool is_host_character(uint8_t c) {
  const char lower = ascii_lower(static_cast<char>(c));
  return (lower >= 'a' && lower <= 'z') || is_digit(static_cast<char>(c)) || c == '-' || c == '_';
}

// Reads from left to right; once something is missing, nothing it says is to be believed.
class Reader {
 public:
  Reader(std::span<const uint8_t> all, size_t at) : all_(all), at_(at) {}

  bool is_well() const { return well_; }
  size_t at() const { return at_; }
  uint16_t u16() {
    const auto part = take(2);
    return well_ ? static_cast<uint16_t>(part[0] << 8 | part[1]) : 0;
  }
  uint32_t u32() {
    const uint32_t high = u16();
    return high << 16 | u16();
  }
  void skip(size_t count) { static_cast<void>(take(count)); }
  // RFC 1035 §4.1.4; empty: the root.
  std::string name();

 private:
  std::span<const uint8_t> take(size_t count) {
    if (!well_ || count > all_.size() - at_) {
      well_ = false;
      return {};
    }
    at_ += count;
    return all_.subspan(at_ - count, count);
  }

  std::span<const uint8_t> all_;
  size_t at_;
  bool well_ = true;
};

std::string Reader::name() {
  std::string text;
  std::optional<size_t> behind;  // where reading goes on after the first pointer
  for (int pointers = 0; well_;) {
    const auto size = take(1);
    if (!well_) break;
    if ((size[0] & 0xc0) == 0xc0) {
      const auto low = take(1);
      if (!well_) break;
      if (!behind) behind = at_;
      at_ = static_cast<size_t>(size[0] & 0x3f) << 8 | low[0];
      well_ = ++pointers <= kMostPointers && at_ < all_.size();
      continue;
    }
    if (size[0] == 0) break;
    const auto label = take(size[0]);
    well_ = well_ && size[0] < 64 && text.size() + label.size() < kMostName &&
            std::all_of(label.begin(), label.end(), is_host_character);
    if (!well_) break;
    if (!text.empty()) text += '.';
    for (const uint8_t c : label) text += ascii_lower(static_cast<char>(c));
  }
  if (behind && well_) at_ = *behind;
  return text;
}

// One record of the answer section; false when it cannot be one.
bool read_record(Reader& reader, ServiceAnswer& into, Duration& ttl) {
  reader.name();
  const uint16_t type = reader.u16();
  const uint16_t klass = reader.u16();
  const uint32_t seconds = std::min(reader.u32(), kMostTtl);
  const size_t size = reader.u16();
  const size_t begin = reader.at();
  if (!reader.is_well()) return false;
  if (klass != kClassIn || (type != kTypeSrv && type != kTypeCname)) {
    reader.skip(size);
    return reader.is_well();
  }
  ttl = std::min<Duration>(ttl, std::chrono::seconds(seconds));
  if (type == kTypeCname) {
    reader.skip(size);
    return reader.is_well();
  }
  Service service;
  service.priority = reader.u16();
  service.weight = reader.u16();
  service.port = reader.u16();
  service.target = reader.name();
  if (!reader.is_well() || reader.at() != begin + size) return false;
  // RFC 2782: a target of "." means that the service is decidedly not available.
  if (!service.target.empty()) into.services.push_back(std::move(service));
  return true;
}

}  // namespace

Result<ServiceAnswer> parse_srv_reply(std::span<const uint8_t> reply) {
  if (reply.size() < kHeader) return malformed();
  Reader reader(reply, 4);
  const uint16_t questions = reader.u16();
  const uint16_t answers = reader.u16();
  reader.skip(4);
  for (uint16_t i = 0; i < questions && reader.is_well(); ++i) {
    reader.name();
    reader.skip(4);
  }
  ServiceAnswer found;
  Duration ttl = std::chrono::seconds(kMostTtl);
  for (uint16_t i = 0; i < answers; ++i) {
    if (!reader.is_well() || !read_record(reader, found, ttl)) return malformed();
  }
  if (!reader.is_well()) return malformed();
  found.ttl = ttl;
  std::sort(found.services.begin(), found.services.end(), [](const auto& a, const auto& b) {
    return std::tie(a.priority, a.target, a.port, a.weight) <
           std::tie(b.priority, b.target, b.port, b.weight);
  });
  if (found.services.size() > kMostServices) found.services.resize(kMostServices);
  return found;
}

}  // namespace sluice::net
