// Encoder: one compressed body in the making. Takes input in pieces, appends output to a chain.
// Owned by its filter. Memory is bounded by the coding's window: gzip 256 KiB, br and zstd 1 MiB.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string_view>

#include "proxy/base/chain.h"
#include "proxy/base/result.h"

namespace sluice::plugins {

enum class Coding : uint8_t { kGzip, kBrotli, kZstd };
inline constexpr size_t kCodings = 3;

std::string_view name_of(Coding coding);  // as in Content-Encoding

struct LevelRange {
  int least;
  int most;
  int usual;
};
LevelRange levels_of(Coding coding);

class Encoder {
 public:
  enum class Flush : uint8_t {
    kNone,    // keep what does not fill a block
    kSync,    // all that was given can be decoded from what is out
    kFinish,  // the body is complete
  };
  virtual ~Encoder() = default;
  virtual Status write(std::string_view input, Flush flush, Chain& out) = 0;
};

// `size` is the length of the whole input when it is known, else 0: small bodies take less memory.
// Null when there is no memory for it.
std::unique_ptr<Encoder> make_encoder(Coding coding, int level, uint64_t size);

}  // namespace sluice::plugins
