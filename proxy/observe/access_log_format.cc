#include "proxy/observe/access_log_format.h"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <chrono>
#include <cstring>
#include <string_view>

#include "proxy/observe/utf8.h"

namespace sluice::observe {

namespace {

// Ceilings of the fields, in bytes of the line.
constexpr size_t kMostTarget = 8192;
constexpr size_t kMostReferer = 1024;
constexpr size_t kMostUserAgent = 1024;
constexpr size_t kMostHost = 512;
constexpr size_t kMostName = 256;  // everything else
constexpr size_t kNames = 15;
constexpr size_t kMostTunnel = 32;  // with its key
constexpr size_t kMostProxyWord = 96;
constexpr size_t kProxyFrame = 112;  // their keys and quotes
// Keys, quotes, numbers, times, and the eight bytes a copy by words may write too far.
constexpr size_t kFrame = 864;
static_assert(kMostTarget + kMostReferer + kMostUserAgent + kMostHost + kNames * kMostName +
                  kMostTunnel + 5 * kMostProxyWord + kProxyFrame + kFrame <=
              AccessLogFormatter::kMostLine);

constexpr size_t kWorstEscape = 6;  // \u00XX
constexpr char kHexDigits[] = "0123456789abcdef";

static_assert(std::endian::native == std::endian::little);  // load_tail() puts bytes in order

// Whether all eight bytes may stand in a line as they are: no control character, quote, backslash
// or DEL, and ASCII (what is above is met by the first term or the last). May say no for a good
// word, never yes for a bad one.
constexpr bool is_plain(uint64_t word) {
  constexpr uint64_t kOnes = 0x0101010101010101;
  constexpr uint64_t kHighs = 0x8080808080808080;
  const uint64_t quote = word ^ (kOnes * '"');
  const uint64_t backslash = word ^ (kOnes * '\\');
  return (((word - kOnes * 0x20) | (quote - kOnes) | (backslash - kOnes) | (word + kOnes)) &
          kHighs) == 0;
}

// Up to seven bytes as a word, spaces behind them, without reading beyond them.
inline uint64_t load_tail(const char* from, size_t size) {
  uint64_t word = 0;
  if (size >= 4) {
    uint32_t first = 0;
    uint32_t last = 0;  // overlaps the first, with the same bytes
    std::memcpy(&first, from, 4);
    std::memcpy(&last, from + size - 4, 4);
    word = first | static_cast<uint64_t>(last) << (8 * (size - 4));
  } else {
    for (size_t i = 0; i < size; ++i)
      word |= static_cast<uint64_t>(static_cast<uint8_t>(from[i])) << (8 * i);
  }
  return word | (0x2020202020202020ULL << (8 * size));
}

constexpr bool is_plain(char c) {
  return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

// Appends to memory that is known to be large enough.
class Pen {
 public:
  explicit Pen(char* at) : at_(at) {}
  char* at() const { return at_; }
  bool was_cut() const { return cut_; }

  template <size_t kSize>
  void literal(const char (&text)[kSize]) {
    std::memcpy(at_, text, kSize - 1);
    at_ += kSize - 1;
  }
  void raw(std::string_view text) {
    std::memcpy(at_, text.data(), text.size());
    at_ += text.size();
  }
  void number(uint64_t value) { at_ = std::to_chars(at_, at_ + 20, value).ptr; }

  void padded(unsigned value, int digits) {
    for (int i = digits - 1; i >= 0; --i, value /= 10) at_[i] = static_cast<char>('0' + value % 10);
    at_ += digits;
  }
  // Seconds to the millisecond, rounded.
  void seconds(Duration time) {
    const auto milliseconds =
        static_cast<uint64_t>((std::max(time, Duration{0}).count() + 500000) / 1000000);
    number(milliseconds / 1000);
    *at_++ = '.';
    padded(static_cast<unsigned>(milliseconds % 1000), 3);
  }

  // The text as the inside of a JSON string (RFC 8259 §7), or in combined's notation. Goes no
  // further than `most` bytes.
  void json_text(std::string_view text, size_t most) {
    if (copy_plain(text, most)) return;
    escaped(text, most, [this](const char* from, const char* end) { return json_char(from, end); });
  }
  void quoted_text(std::string_view text, size_t most) {
    if (copy_plain(text, most)) return;
    escaped(text, most, [this](const char* from, const char*) {
      byte_escape("\\x", *from);
      return from + 1;
    });
  }

 private:
  // By words, the last of which overlaps the one before. False: not all of it is plain, or there is
  // too much; nothing counts as written.
  bool copy_plain(std::string_view text, size_t most) {
    const char* const from = text.data();
    const size_t size = text.size();
    char* const at = at_;  // not the member: a store through a char* might change that
    uint64_t word = 0;
    if (size > most - kWorstEscape) return false;
    if (size < 8) {
      word = load_tail(from, size);
      if (!is_plain(word)) return false;
      std::memcpy(at, &word, 8);
    } else {
      for (size_t i = 0; i < size; i += 8) {
        const size_t here = std::min(i, size - 8);
        std::memcpy(&word, from + here, 8);
        if (!is_plain(word)) return false;
        std::memcpy(at + here, &word, 8);
      }
    }
    at_ = at + size;
    return true;
  }

  // Leaves what is not plain to `odd`, which writes at most kWorstEscape bytes and returns where to
  // go on.
  template <typename Odd>
  void escaped(std::string_view text, size_t most, Odd odd) {
    const char* const limit = at_ + most - kWorstEscape;
    const char* from = text.data();
    const char* const end = from + text.size();
    while (from != end) {
      if (at_ > limit) {
        cut_ = true;
        return;
      }
      if (is_plain(*from)) {
        *at_++ = *from++;
      } else {
        from = odd(from, end);
      }
    }
  }

  const char* json_char(const char* from, const char* end) {
    const char c = *from;
    if (c == '"' || c == '\\') {
      *at_++ = '\\';
      *at_++ = c;
      return from + 1;
    }
    const size_t size = utf8_length(from, end);
    // U+0080 to U+009F are control characters too; a terminal obeys some of them.
    const bool is_c1 = size == 2 && c == '\xc2' && static_cast<uint8_t>(from[1]) < 0xa0;
    if (size < 2 || is_c1) {
      byte_escape("\\u00", is_c1 ? from[1] : c);
      return from + (is_c1 ? 2 : 1);
    }
    raw({from, size});
    return from + size;
  }

  template <size_t kSize>
  void byte_escape(const char (&prefix)[kSize], char byte) {
    literal(prefix);
    *at_++ = kHexDigits[static_cast<uint8_t>(byte) >> 4];
    *at_++ = kHexDigits[static_cast<uint8_t>(byte) & 15];
  }

  char* at_;
  bool cut_ = false;
};

// `,"key":` is given whole, so that it costs one copy of a known size.
template <size_t kSize>
void text_field(Pen& pen, const char (&key)[kSize], std::string_view text,
                size_t most = kMostName) {
  if (text.empty()) return;
  pen.literal(key);
  pen.literal("\"");
  pen.json_text(text, most);
  pen.literal("\"");
}

template <size_t kSize>
void seconds_field(Pen& pen, const char (&key)[kSize], Duration time) {
  if (time < Duration{0}) return;
  pen.literal(key);
  pen.seconds(time);
}

template <size_t kSize>
void number_field(Pen& pen, const char (&key)[kSize], uint64_t value) {
  pen.literal(key);
  pen.number(value);
}

constexpr uint64_t unsigned_code(int code) {
  return code < 0 ? 0 : static_cast<uint64_t>(code);
}

void proxy_fields(Pen& pen, const ProxyWords& words) {
  text_field(pen, ",\"proxy_vpc_endpoint\":", words.vpc_endpoint, kMostProxyWord);
  text_field(pen, ",\"proxy_unique_id\":", words.unique_id, kMostProxyWord);
  text_field(pen, ",\"proxy_authority\":", words.authority, kMostProxyWord);
  text_field(pen, ",\"proxy_alpn\":", words.alpn, kMostProxyWord);
  text_field(pen, ",\"proxy_tls\":", words.tls, kMostProxyWord);
}

void quoted(Pen& pen, std::string_view text, size_t most) {
  pen.literal("\"");
  if (text.empty()) {
    pen.literal("-");
  } else {
    pen.quoted_text(text, most);
  }
  pen.literal("\"");
}

}  // namespace

size_t AccessLogFormatter::room_for(const Record& r) {
  size_t frame = kFrame;
  size_t sent = r.client.size() + r.peer.size() + r.method.size() + r.host.size() +
                r.target.size() + r.protocol.size() + r.scheme.size() + r.request_id.size() +
                r.trace_id.size() + r.referer.size() + r.user_agent.size() + r.reason.size() +
                r.route.size() + r.upstream.size() + r.endpoint.size() + r.tunnel.size() +
                r.retried.size() + r.certificate_subject.size() + r.certificate_names.size() +
                r.certificate_fingerprint.size();
  if (r.proxied != nullptr) {
    frame += kProxyFrame;
    sent += r.proxied->vpc_endpoint.size() + r.proxied->unique_id.size() +
            r.proxied->authority.size() + r.proxied->alpn.size() + r.proxied->tls.size();
  }
  return sent > kMostLine ? kMostLine : std::min(kMostLine, frame + kWorstEscape * sent);
}

char* AccessLogFormatter::format(const Record& record, AccessLogFormat format, char* at) {
  const auto second = std::chrono::floor<std::chrono::seconds>(record.started);
  if (second != spelled_) spell(second);
  if (format == AccessLogFormat::kCombined) return combined(record, at);
  const auto part = std::chrono::floor<std::chrono::milliseconds>(record.started - second);
  return json(record, static_cast<int>(part.count()), at);
}

void AccessLogFormatter::spell(WallTime second) {
  namespace chrono = std::chrono;
  static constexpr char kMonths[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
  spelled_ = second;
  const auto day = chrono::floor<chrono::days>(second);
  const chrono::year_month_day date{chrono::sys_days{day.time_since_epoch()}};
  const auto in_day = chrono::duration_cast<chrono::seconds>(second - day).count();
  const auto year = static_cast<unsigned>(std::clamp(static_cast<int>(date.year()), 0, 9999));
  const auto month = static_cast<unsigned>(date.month());
  const auto clock = [in_day](Pen& pen) {
    pen.padded(static_cast<unsigned>(in_day / 3600), 2);
    pen.literal(":");
    pen.padded(static_cast<unsigned>(in_day / 60 % 60), 2);
    pen.literal(":");
    pen.padded(static_cast<unsigned>(in_day % 60), 2);
  };

  Pen rfc3339(rfc3339_.data());
  rfc3339.padded(year, 4);
  rfc3339.literal("-");
  rfc3339.padded(month, 2);
  rfc3339.literal("-");
  rfc3339.padded(static_cast<unsigned>(date.day()), 2);
  rfc3339.literal("T");
  clock(rfc3339);

  Pen common(common_.data());
  common.padded(static_cast<unsigned>(date.day()), 2);
  common.literal("/");
  common.raw({kMonths + (month - 1) * 3, 3});
  common.literal("/");
  common.padded(year, 4);
  common.literal(":");
  clock(common);
  common.literal(" +0000");
}

char* AccessLogFormatter::json(const Record& r, int milliseconds, char* at) const {
  Pen pen(at);
  pen.literal("{\"time\":\"");
  pen.raw({rfc3339_.data(), rfc3339_.size()});
  pen.literal(".");
  pen.padded(static_cast<unsigned>(milliseconds), 3);
  pen.literal("Z\"");
  text_field(pen, ",\"client\":", r.client);
  text_field(pen, ",\"peer\":", r.peer);
  text_field(pen, ",\"method\":", r.method);
  text_field(pen, ",\"host\":", r.host, kMostHost);
  text_field(pen, ",\"target\":", r.target, kMostTarget);
  text_field(pen, ",\"protocol\":", r.protocol);
  text_field(pen, ",\"scheme\":", r.scheme);
  number_field(pen, ",\"status\":", unsigned_code(r.status));
  text_field(pen, ",\"reason\":", r.reason);
  text_field(pen, ",\"route\":", r.route);
  text_field(pen, ",\"upstream\":", r.upstream);
  text_field(pen, ",\"endpoint\":", r.endpoint);
  if (r.upstream_status > 0)
    number_field(pen, ",\"upstream_status\":", unsigned_code(r.upstream_status));
  if (r.attempts > 0) number_field(pen, ",\"attempts\":", r.attempts);
  text_field(pen, ",\"tunnel\":", r.tunnel);
  text_field(pen, ",\"retried\":", r.retried);
  number_field(pen, ",\"bytes_in\":", r.bytes_in);
  number_field(pen, ",\"bytes_out\":", r.bytes_out);
  seconds_field(pen, ",\"duration\":", std::max(r.total, Duration{0}));
  seconds_field(pen, ",\"queued\":", r.queued);
  seconds_field(pen, ",\"connect\":", r.connect);
  seconds_field(pen, ",\"first_byte\":", r.first_byte);
  seconds_field(pen, ",\"upstream_duration\":", r.upstream_total);
  text_field(pen, ",\"request_id\":", r.request_id);
  text_field(pen, ",\"trace_id\":", r.trace_id);
  text_field(pen, ",\"referer\":", r.referer, kMostReferer);
  text_field(pen, ",\"user_agent\":", r.user_agent, kMostUserAgent);
  if (r.proxied != nullptr) proxy_fields(pen, *r.proxied);
  text_field(pen, ",\"client_cert_subject\":", r.certificate_subject);
  text_field(pen, ",\"client_cert_san\":", r.certificate_names);
  text_field(pen, ",\"client_cert_fingerprint\":", r.certificate_fingerprint);
  if (pen.was_cut()) pen.literal(",\"truncated\":true");
  pen.literal("}\n");
  return pen.at();
}

char* AccessLogFormatter::combined(const Record& r, char* at) const {
  Pen pen(at);
  if (r.client.empty()) {
    pen.literal("-");
  } else {
    pen.quoted_text(r.client, kMostName);
  }
  pen.literal(" - - [");
  pen.raw({common_.data(), common_.size()});
  pen.literal("] \"");
  if (r.method.empty()) {
    pen.literal("-");  // broken off before a request line was read
  } else {
    pen.quoted_text(r.method, kMostName);
    pen.literal(" ");
    pen.quoted_text(r.target, kMostTarget);
    pen.literal(" ");
    pen.quoted_text(r.protocol, kMostName);
  }
  pen.literal("\" ");
  pen.padded(static_cast<unsigned>(unsigned_code(r.status) % 1000), 3);
  pen.literal(" ");
  pen.number(r.bytes_out);
  pen.literal(" ");
  quoted(pen, r.referer, kMostReferer);
  pen.literal(" ");
  quoted(pen, r.user_agent, kMostUserAgent);
  pen.literal(" ");
  pen.seconds(r.total);
  pen.literal(" ");
  if (r.upstream_total < Duration{0}) {
    pen.literal("-");
  } else {
    pen.seconds(r.upstream_total);
  }
  pen.literal("\n");
  return pen.at();
}

}  // namespace sluice::observe
