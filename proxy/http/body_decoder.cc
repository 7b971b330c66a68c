#include "proxy/http/body_decoder.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>

#include "proxy/base/text.h"
#include "proxy/http/grammar.h"

namespace sluice::http {
namespace {

constexpr size_t kChunkLine = 4 * 1024;
// A chunk may cost this much beside each byte it brings, and a body this much beside that: chunks
// of one byte pass, floods of extensions do not (RFC 9112 §7.1.1 asks for a limit on their sum).
constexpr uint64_t kOverheadPerByte = 16;
constexpr uint64_t kOverhead = 64 * 1024;
constexpr size_t kSizeDigits = 16;

tl::unexpected<HeadFault> fault(std::string_view reason) {
  return tl::unexpected(HeadFault{400, reason});
}

size_t token_size(std::string_view text) {
  size_t n = 0;
  while (n < text.size() && is_tchar(text[n])) ++n;
  return n;
}

// The size of the quoted-string that `text` starts with (RFC 9110 §5.6.4); 0 when it is none.
size_t quoted_size(std::string_view text) {
  for (size_t i = 1; i < text.size(); ++i) {
    if (text[i] == '"') return i + 1;
    if (text[i] == '\\' && ++i == text.size()) return 0;
    if (!is_field_byte(text[i])) return 0;
  }
  return 0;
}

// *( ";" token [ "=" ( token / quoted-string ) ] ), without the whitespace RFC 9112 §7.1.1
// tolerates.
bool are_extensions(std::string_view text) {
  while (!text.empty()) {
    if (text.front() != ';') return false;
    text.remove_prefix(1);
    const size_t name = token_size(text);
    if (name == 0) return false;
    text.remove_prefix(name);
    if (text.empty() || text.front() != '=') continue;
    text.remove_prefix(1);
    if (text.empty()) return false;
    const size_t value = text.front() == '"' ? quoted_size(text) : token_size(text);
    if (value == 0) return false;
    text.remove_prefix(value);
  }
  return true;
}

// The line without its CRLF. Sizes that do not fit 63 bits are refused.
std::optional<uint64_t> parse_chunk_line(std::string_view line) {
  uint64_t size = 0;
  size_t digits = 0;
  for (; digits < line.size(); ++digits) {
    const int value = hex_value(line[digits]);
    if (value < 0) break;
    if (digits == kSizeDigits) return std::nullopt;
    size = size << 4 | static_cast<uint64_t>(value);
  }
  if (digits == 0 || size > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
    return std::nullopt;
  }
  if (!are_extensions(line.substr(digits))) return std::nullopt;
  return size;
}

}  // namespace

void BodyDecoder::begin(BodyFraming framing, uint64_t length, const HeadLimits& trailer_limits) {
  rest();
  limits_ = trailer_limits;
  switch (framing) {
    case BodyFraming::kNone:
      break;
    case BodyFraming::kLength:
      left_ = length;
      state_ = length == 0 ? State::kComplete : State::kLength;
      break;
    case BodyFraming::kChunked:
      state_ = State::kChunkSize;
      is_chunked_ = true;
      break;
    case BodyFraming::kUntilClose:
      state_ = State::kUntilClose;
      break;
  }
}

void BodyDecoder::rest() {
  if (is_chunked_) *this = BodyDecoder();
  state_ = State::kComplete;
  left_ = 0;
}

HeadResult<size_t> BodyDecoder::decode(const BlockRef& block, std::string_view bytes, Chain& into) {
  size_t taken = 0;
  while (taken < bytes.size() && state_ != State::kComplete) {
    const std::string_view rest = bytes.substr(taken);
    HeadResult<size_t> step = rest.size();
    switch (state_) {
      case State::kComplete:
        break;
      case State::kLength:
      case State::kChunkData:
        step = static_cast<size_t>(std::min<uint64_t>(left_, rest.size()));
        into.append(block, rest.data(), *step);
        left_ -= *step;
        if (left_ > 0) break;
        state_ = state_ == State::kLength ? State::kComplete : State::kChunkDataEnd;
        break;
      case State::kUntilClose:
        into.append(block, rest.data(), rest.size());
        break;
      case State::kChunkDataEnd:
        step = decode_data_end(rest);
        break;
      case State::kChunkSize:
        step = decode_chunk_size(rest);
        break;
      case State::kTrailers:
        step = decode_trailers(rest);
        break;
    }
    if (!step) return step;
    taken += *step;
  }
  return taken;
}

// The CRLF behind the data; `scanned_` counts how much of it has come.
HeadResult<size_t> BodyDecoder::decode_data_end(std::string_view bytes) {
  constexpr std::string_view kEnd = "\r\n";
  size_t taken = 0;
  while (taken < bytes.size() && scanned_ < kEnd.size()) {
    if (bytes[taken++] != kEnd[scanned_++]) return fault("malformed_chunk");
  }
  if (scanned_ == kEnd.size()) {
    scanned_ = 0;
    state_ = State::kChunkSize;
  }
  return taken;
}

HeadResult<size_t> BodyDecoder::decode_chunk_size(std::string_view bytes) {
  const size_t room = kChunkLine - partial_.size();
  const std::string_view window = bytes.substr(0, room);
  const size_t lf = window.find('\n');
  if (lf == std::string_view::npos) {
    if (window.size() == room) return fault("chunk_line_too_long");
    partial_ += window;
    return window.size();
  }
  std::string_view line = window.substr(0, lf + 1);
  if (!partial_.empty()) line = partial_ += line;
  overhead_ += line.size() + 2;
  if (line.size() < 2 || line[line.size() - 2] != '\r') return fault("malformed_chunk");
  const auto size = parse_chunk_line(line.substr(0, line.size() - 2));
  if (!size) return fault("malformed_chunk");
  partial_.clear();
  overhead_ -= std::min(overhead_, kOverheadPerByte * std::min(*size, kOverhead));
  if (overhead_ > kOverhead) return fault("chunk_overhead");
  left_ = *size;
  state_ = *size == 0 ? State::kTrailers : State::kChunkData;
  return lf + 1;
}

HeadResult<size_t> BodyDecoder::decode_trailers(std::string_view bytes) {
  const size_t before = partial_.size();
  // Usually it is all there; else it is put together, up to just above what the limit lets through.
  if (before > 0) {
    bytes = bytes.substr(0, limits_.block + 3 - before);
    partial_ += bytes;
  }
  const std::string_view whole = before > 0 ? std::string_view{partial_} : bytes;
  const auto end = parse_trailers(whole, limits_, scanned_, trailers_);
  if (!end) return end;
  if (*end == 0) {
    if (before == 0) partial_ = bytes;
    return bytes.size();
  }
  partial_ = {};
  state_ = State::kComplete;
  return *end - before;
}

bool BodyDecoder::on_end() {
  if (state_ == State::kUntilClose) state_ = State::kComplete;
  return is_complete();
}

bool BodyDecoder::is_complete() const {
  return state_ == State::kComplete;
}

uint64_t BodyDecoder::left() const {
  if (state_ == State::kComplete) return 0;
  return state_ == State::kLength ? left_ : std::numeric_limits<uint64_t>::max();
}

}  // namespace sluice::http
