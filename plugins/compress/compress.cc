#include "plugins/compress/compress.h"

#include <algorithm>
#include <cstring>
#include <string>

#include <fmt/format.h>

#include "plugins/compress/negotiation.h"
#include "proxy/base/text.h"

namespace sluice::plugins {
namespace {

using filter::FilterHost;
using filter::Verdict;
using http::HeaderId;
using http::ResponseHead;

bool forbids_transforming(const http::Headers& headers) {
  for (const auto& field : headers) {
    if (field.id == HeaderId::kCacheControl && list_has(field.value, "no-transform")) return true;
  }
  return false;
}

// Digests of the content or the representation (RFC 9530, RFC 3230) would no longer be true.
bool has_digest(const http::Headers& headers) {
  for (const auto& field : headers) {
    if (field.id != HeaderId::kOther) continue;
    for (const std::string_view name : {"content-digest", "repr-digest", "digest", "content-md5"}) {
      if (iequals(field.name, name)) return true;
    }
  }
  return false;
}

bool is_left_alone(const http::RequestHead& request, const ResponseHead& head) {
  const bool has_content = head.status >= 200 && head.status != 204 && head.status != 205 &&
                           head.status != 206 && head.status != 416;
  return !has_content || head.headers.has(HeaderId::kContentEncoding) ||
         head.headers.has(HeaderId::kContentRange) || forbids_transforming(head.headers) ||
         forbids_transforming(request.headers) || has_digest(head.headers);
}

// Caches must keep the two forms apart.
void add_vary(http::Headers& headers) {
  const auto vary = headers.joined(HeaderId::kVary);
  if (vary.empty()) {
    headers.set(HeaderId::kVary, "Accept-Encoding");
    return;
  }
  if (list_has(vary, "*") || list_has(vary, "accept-encoding")) return;
  constexpr std::string_view kMore = ", Accept-Encoding";
  char* const text = headers.arena().allocate(vary.size() + kMore.size());
  std::memcpy(text, vary.data(), vary.size());
  std::memcpy(text + vary.size(), kMore.data(), kMore.size());
  headers.set(HeaderId::kVary, {text, vary.size() + kMore.size()});
}

// RFC 9110 §8.8.1: the compressed form is another sequence of bytes, only equivalent.
void weaken_etag(http::Headers& headers) {
  const auto etag = headers.get(HeaderId::kETag);
  if (etag.empty() || etag.starts_with("W/")) return;
  char* const text = headers.arena().allocate(etag.size() + 2);
  std::memcpy(text, "W/", 2);
  std::memcpy(text + 2, etag.data(), etag.size());
  headers.set(HeaderId::kETag, {text, etag.size() + 2});
}

// Which form a 304 speaks of: the client has told by the tag it kept. Without tags, the form it
// would get now.
bool has_compressed_form(const http::RequestHead& request, const ResponseHead& head,
                         bool would_now) {
  bool asked = false;
  bool has_weak = false;
  const auto etag = head.headers.get(HeaderId::kETag);
  for (const auto& field : request.headers) {
    if (field.id != HeaderId::kIfNoneMatch) continue;
    asked = true;
    for_each_element(field.value, [&has_weak, etag](std::string_view tag) {
      has_weak = has_weak || (tag.starts_with("W/") && tag.substr(2) == etag);
    });
  }
  return asked ? has_weak : would_now;
}

class Compress : public filter::Filter {
 public:
  explicit Compress(const CompressSettings& settings) : settings_(settings) {}

  Verdict on_response(FilterHost& host, ResponseHead& head) override {
    const auto& request = host.request();
    if (is_left_alone(request, head)) return Verdict::kContinue;
    const auto coding = negotiate(request.headers, settings_.codings);
    if (head.status == 304) {
      change_not_modified(request, head, coding.has_value());
    } else {
      change(request, head, coding);
    }
    return Verdict::kContinue;
  }

  bool changes_response_body() const override { return is_on_; }

  Status on_response_body(Chain& bytes, bool last) override {
    if (encoder_ == nullptr) {
      const auto level = settings_.levels[static_cast<size_t>(coding_)];
      encoder_ = make_encoder(coding_, level, last ? bytes.size() : length_);
    }
    if (encoder_ == nullptr) return fail(ErrorCode::kOverloaded, Side::kUs, "compress: no memory");
    // Without a length, each piece may be all there is to say for now, and somebody waits for it.
    const auto flush = is_streamed_ ? Encoder::Flush::kSync : Encoder::Flush::kNone;
    Chain out;
    while (!bytes.empty()) {
      const Chain::Piece& piece = bytes.front();
      if (piece.is_file()) {
        return fail(ErrorCode::kUnsupported, Side::kUs, "compress: file bytes in a filtered body");
      }
      const bool is_newest = !last && piece.size == bytes.size();
      auto status = encoder_->write(piece.view(), is_newest ? flush : Encoder::Flush::kNone, out);
      if (!status) return status;
      bytes.drop_front(piece.size);
    }
    if (last) {
      if (auto status = encoder_->write({}, Encoder::Flush::kFinish, out); !status) return status;
      encoder_.reset();
    }
    bytes = std::move(out);
    return {};
  }

 private:
  void change_not_modified(const http::RequestHead& request, ResponseHead& head, bool would_now) {
    // A 304 need not say its type; then it is taken for one of ours, which is true or harmless.
    const auto type = head.headers.get(HeaderId::kContentType);
    if (!type.empty() && !settings_.types.has(type)) return;
    add_vary(head.headers);
    if (has_compressed_form(request, head, would_now)) weaken_etag(head.headers);
    head.declared_length.reset();
  }

  void change(const http::RequestHead& request, ResponseHead& head, std::optional<Coding> coding) {
    if (!settings_.types.has(head.headers.get(HeaderId::kContentType))) return;
    const bool to_head = request.is("HEAD");
    auto length = head.declared_length;
    if (head.body.kind == http::BodySize::Kind::kExact) length = head.body.length;
    if (!to_head && head.body.is_none()) length = 0;
    if (length && (*length == 0 || Bytes{*length} < settings_.min_size)) return;
    add_vary(head.headers);
    if (!coding) return;
    head.headers.set(HeaderId::kContentEncoding, name_of(*coding));
    head.headers.remove(HeaderId::kAcceptRanges);
    weaken_etag(head.headers);
    head.declared_length.reset();
    if (to_head) return;
    is_on_ = true;
    coding_ = *coding;
    is_streamed_ = head.body.is_unknown();
    length_ = length.value_or(0);
    head.body = http::BodySize::unknown();
  }

  const CompressSettings& settings_;
  bool is_on_ = false;
  bool is_streamed_ = false;
  Coding coding_ = Coding::kGzip;
  uint64_t length_ = 0;  // of the body as it comes; 0: unknown
  std::unique_ptr<Encoder> encoder_;
};

class Factory : public filter::FilterFactory {
 public:
  explicit Factory(CompressSettings settings) : settings_(std::move(settings)) {}
  std::unique_ptr<filter::Filter> make() const override {
    return std::make_unique<Compress>(settings_);
  }
  std::string_view name() const override { return "compress"; }

 private:
  const CompressSettings settings_;
};

std::optional<Coding> coding_of(std::string_view name) {
  for (size_t i = 0; i < kCodings; ++i) {
    if (name_of(static_cast<Coding>(i)) == name) return static_cast<Coding>(i);
  }
  return std::nullopt;
}

void read_codings(config::MapReader& reader, std::vector<Coding>& into) {
  std::vector<std::string> names;
  reader.texts("codings", names);
  const config::Node* node = reader.child("codings");
  if (node == nullptr) return;
  into.clear();
  for (const auto& name : names) {
    const auto coding = coding_of(name);
    if (!coding) {
      reader.faults().add(*node,
                          fmt::format("\"{}\" is no coding; there are gzip, br and zstd", name));
    } else if (std::find(into.begin(), into.end(), *coding) != into.end()) {
      reader.faults().add(*node, fmt::format("\"{}\" is there twice", name));
    } else {
      into.push_back(*coding);
    }
  }
  if (names.empty()) reader.faults().add(*node, "is empty; name one of gzip, br and zstd");
}

void read_types(config::MapReader& reader, TypeList& into) {
  std::vector<std::string> patterns;
  reader.texts("types", patterns);
  const config::Node* node = reader.child("types");
  if (node == nullptr) return;
  for (const auto& pattern : patterns) {
    if (TypeList::is_valid(pattern)) continue;
    reader.faults().add(
        *node, fmt::format("\"{}\" is no media type; write text/html, text/* or *+json", pattern));
  }
  into = TypeList(std::move(patterns));
}

void read_levels(const config::Node& node, std::array<int, kCodings>& into,
                 config::Faults& faults) {
  config::MapReader reader(node, faults);
  for (size_t i = 0; i < kCodings; ++i) {
    const auto coding = static_cast<Coding>(i);
    const LevelRange range = levels_of(coding);
    auto level = static_cast<uint32_t>(into[i]);
    reader.number(name_of(coding), level, static_cast<uint32_t>(range.least),
                  static_cast<uint32_t>(range.most));
    into[i] = static_cast<int>(level);
  }
  reader.finish();
}

}  // namespace

std::unique_ptr<filter::FilterFactory> make_compress(const config::Node& settings,
                                                     config::Faults& faults) {
  const size_t before = faults.lines().size();
  CompressSettings read;
  config::MapReader reader(settings, faults);
  read_codings(reader, read.codings);
  reader.bytes("min_size", read.min_size);
  read_types(reader, read.types);
  if (const auto* levels = reader.child("levels")) read_levels(*levels, read.levels, faults);
  reader.finish();
  if (faults.lines().size() != before) return nullptr;
  return std::make_unique<Factory>(std::move(read));
}

}  // namespace sluice::plugins
