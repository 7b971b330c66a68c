#include "proxy/route/file_answer.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <utility>

#include <sys/random.h>
#include <unistd.h>

#include "proxy/base/clock.h"
#include "proxy/http/conditional.h"
#include "proxy/http/range.h"

namespace sluice::route {
namespace {

using http::HeaderId;

// Up to here the bytes are read at once, so that they leave in one write with the head.
constexpr uint64_t kMostRead = 16 * 1024;
constexpr http::UnixTime kLatestDate = 253402300799;  // 9999-12-31: four digits of year

// Builds a field's value in the head's arena, without a string in between.
class ValueWriter {
 public:
  ValueWriter(http::Headers& headers, size_t most)
      : headers_(headers),
        begin_(headers.arena().allocate(most)),
        at_(begin_),
        end_(begin_ + most) {}

  ValueWriter& text(std::string_view text) {
    at_ = std::copy_n(text.data(), text.size(), at_);
    return *this;
  }
  ValueWriter& number(uint64_t value, int base = 10) {
    at_ = std::to_chars(at_, end_, value, base).ptr;
    return *this;
  }
  std::string_view value() const { return {begin_, static_cast<size_t>(at_ - begin_)}; }
  void add_as(HeaderId id) { headers_.add_in_place(id, http::name_of(id), value()); }

 private:
  http::Headers& headers_;
  char* const begin_;
  char* at_;
  char* const end_;
};

constexpr size_t kMostDigits = 20;

// Inode, size and modification time to the nanosecond: a file that is replaced gets another.
std::string_view add_etag(const struct stat& status, http::Headers& headers) {
  ValueWriter etag{headers, 4 * kMostDigits};
  const auto& time = status.st_mtim;
  const uint64_t nanoseconds =
      static_cast<uint64_t>(time.tv_sec) * 1'000'000'000U + static_cast<uint64_t>(time.tv_nsec);
  etag.text("\"").number(nanoseconds, 16).text("-");
  etag.number(static_cast<uint64_t>(status.st_size), 16)
      .text("-")
      .number(status.st_ino, 16)
      .text("\"");
  etag.add_as(HeaderId::kETag);
  return etag.value();
}

// Never later than now (RFC 9110 §8.8.2.1).
http::UnixTime add_last_modified(const struct stat& status, http::UnixTime now,
                                 http::Headers& headers) {
  const auto time =
      std::clamp<http::UnixTime>(status.st_mtim.tv_sec, 0, std::min(now, kLatestDate));
  char date[http::kHttpDateSize];
  http::format_http_date(time, date);
  headers.add(HeaderId::kLastModified, {date, sizeof date});
  return time;
}

std::string_view content_range(const http::ByteRange& part, uint64_t size, http::Headers& headers) {
  ValueWriter value{headers, 4 * kMostDigits};
  value.text("bytes ").number(part.first).text("-").number(part.last).text("/").number(size);
  return value.value();
}

void add_in_place(http::Headers& headers, HeaderId id, std::string_view value) {
  headers.add_in_place(id, http::name_of(id), value);
}

// Ranges of one open file become pieces of a chain: small ones by reading, others by reference.
class FileBody {
 public:
  explicit FileBody(Fd fd) : fd_(std::move(fd)) {}

  void append(const http::ByteRange& part, Chain& into) {
    if (part.size() <= kMostRead && read(part, into)) return;
    if (!shared_) shared_ = std::make_shared<const Fd>(std::move(fd_));
    into.append_file(shared_, part.first, part.size());
  }

 private:
  // False when it did not come whole: the file was cut short since. Sent by reference, the
  // transport will find out, too, and break the answer off; nothing is ever made up.
  bool read(const http::ByteRange& part, Chain& into) const {
    auto block = BlockRef::make(part.size());
    char* const data = block->data();
    const int fd = shared_ ? shared_->get() : fd_.get();
    const ssize_t got = ::pread(fd, data, part.size(), static_cast<off_t>(part.first));
    if (got < 0 || static_cast<uint64_t>(got) != part.size()) return false;
    into.append(std::move(block), data, part.size());
    return true;
  }

  Fd fd_;
  SharedFile shared_;
};

// Cannot be guessed, so that no file can be made to hold it.
std::string make_boundary() {
  std::array<unsigned char, 16> noise{};
  if (::getrandom(noise.data(), noise.size(), 0) != static_cast<ssize_t>(noise.size()))
    std::abort();
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string boundary;
  for (const unsigned char byte : noise) {
    boundary += kHex[byte >> 4];
    boundary += kHex[byte & 15];
  }
  return boundary;
}

// RFC 9110 §14.6: each part says its type and place.
void append_multipart(const http::RangeSet& set, uint64_t size, std::string_view mime_type,
                      FileBody& file, FileAnswer& answer) {
  const std::string boundary = make_boundary();
  std::string opening = "--" + boundary;
  for (size_t i = 0; i < set.count; ++i) {
    const auto& part = set.parts[i];
    opening.append("\r\nContent-Type: ").append(mime_type).append("\r\nContent-Range: ");
    opening.append(content_range(part, size, answer.head.headers)).append("\r\n\r\n");
    answer.body.append_copy(opening);
    file.append(part, answer.body);
    opening = "\r\n--" + boundary;
  }
  answer.body.append_copy(opening + "--\r\n");
  answer.head.headers.add(HeaderId::kContentType, "multipart/byteranges; boundary=" + boundary);
  answer.head.body = http::BodySize::exactly(answer.body.size());
}

// What stands in 200, 206 and 304 alike (RFC 9110 §15.4.5).
http::Validators add_common_fields(const OpenFile& file, const Presentation& how,
                                   http::UnixTime now, http::Headers& headers) {
  headers.reserve(10);
  http::Validators current;
  current.etag = add_etag(file.status, headers);
  current.last_modified = add_last_modified(file.status, now, headers);
  if (!how.cache_control.empty()) headers.add(HeaderId::kCacheControl, how.cache_control);
  if (how.varies) add_in_place(headers, HeaderId::kVary, "Accept-Encoding");
  return current;
}

void set_status(http::ResponseHead& head, int status) {
  head.status = status;
  head.reason = http::reason_of(status);
}

// Without a Range that counts: one that is repeated does not, nor one with HEAD (RFC 9110 §14.2).
http::RangeSet wanted_ranges(const http::Headers& request, const http::Validators& current,
                             http::UnixTime now, uint64_t size, bool is_head) {
  if (is_head || request.count(HeaderId::kRange) != 1) return {};
  if (!http::if_range_holds(request, current, now)) return {};
  return http::parse_range(request.get(HeaderId::kRange), size);
}

FileAnswer unsatisfiable(uint64_t size) {
  FileAnswer answer = bare_answer(416);
  ValueWriter value{answer.head.headers, 2 * kMostDigits};
  value.text("bytes */").number(size).add_as(HeaderId::kContentRange);
  return answer;
}

}  // namespace

FileAnswer bare_answer(int status) {
  FileAnswer answer;
  set_status(answer.head, status);
  if (status != 304 && status != 204) answer.head.body = http::BodySize::exactly(0);
  return answer;
}

FileAnswer answer_with_file(OpenFile file, const Presentation& how, const http::Headers& request,
                            bool is_head) {
  const auto size = static_cast<uint64_t>(file.status.st_size);
  const http::UnixTime now = std::chrono::system_clock::to_time_t(wall_now());
  FileAnswer answer;
  http::Headers& headers = answer.head.headers;
  const auto current = add_common_fields(file, how, now, headers);
  switch (http::check_preconditions(request, current, now)) {
    case http::Precondition::kHolds:
      break;
    case http::Precondition::kNotModified:
      set_status(answer.head, 304);
      return answer;
    case http::Precondition::kFailed:
      return bare_answer(412);
  }
  const auto ranges = wanted_ranges(request, current, now, size, is_head);
  if (ranges.kind == http::RangeSet::Kind::kUnsatisfiable) return unsatisfiable(size);
  add_in_place(headers, HeaderId::kAcceptRanges, "bytes");
  if (!how.encoding.empty()) add_in_place(headers, HeaderId::kContentEncoding, how.encoding);

  FileBody body{std::move(file.fd)};
  const bool partial = ranges.kind == http::RangeSet::Kind::kParts;
  set_status(answer.head, partial ? 206 : 200);
  if (ranges.count > 1) {
    append_multipart(ranges, size, how.mime_type, body, answer);
    return answer;
  }
  headers.add(HeaderId::kContentType, how.mime_type);
  if (is_head) {
    answer.head.declared_length = size;
    return answer;
  }
  if (partial) {
    add_in_place(headers, HeaderId::kContentRange, content_range(ranges.parts[0], size, headers));
    body.append(ranges.parts[0], answer.body);
  } else if (size > 0) {
    body.append({0, size - 1}, answer.body);
  }
  answer.head.body = http::BodySize::exactly(answer.body.size());
  return answer;
}

}  // namespace sluice::route
