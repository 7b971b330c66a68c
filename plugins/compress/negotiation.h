// What may be compressed, and how the client would like it: media types and Accept-Encoding. Pure;
// the settings are const and shared by all workers.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "plugins/compress/encoder.h"
#include "proxy/base/bytes.h"
#include "proxy/http/headers.h"

namespace sluice::plugins {

// The media types worth the work: "a/b", "a/*", "*+suffix", in lower case.
class TypeList {
 public:
  TypeList();  // the default ones
  explicit TypeList(std::vector<std::string> patterns);
  // `content_type` as in the field, parameters and all. text/event-stream only by its full name.
  bool has(std::string_view content_type) const;
  // Whether a pattern is one of the three forms.
  static bool is_valid(std::string_view pattern);

 private:
  std::vector<std::string> patterns_;
};

struct CompressSettings {
  std::vector<Coding> codings = {Coding::kZstd, Coding::kBrotli, Coding::kGzip};
  Bytes min_size = 1_KiB;
  TypeList types;
  std::array<int, kCodings> levels = {levels_of(Coding::kGzip).usual,
                                      levels_of(Coding::kBrotli).usual,
                                      levels_of(Coding::kZstd).usual};
};

// RFC 9110 §12.5.3: the coding with the highest q-value; between equals the first in `ours`. None
// when there is no Accept-Encoding, or the client would rather have it as it is.
std::optional<Coding> negotiate(const http::Headers& request, const std::vector<Coding>& ours);

}  // namespace sluice::plugins
