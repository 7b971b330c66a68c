#include "plugins/compress/encoder.h"

#include <algorithm>
#include <limits>

#include <brotli/encode.h>
#include <zlib.h>
#include <zstd.h>

namespace sluice::plugins {
namespace {

constexpr size_t kOutput = 16 * 1024;  // asked of the chain at a time
// 128 KiB of history: what a page repeats lies close by, and a thousand answers at once stay
// bounded.
constexpr int kWindowBits = 17;

// The smallest window that holds `size` bytes (0: unknown).
int window_bits(uint64_t size, int least, int most) {
  if (size == 0) return most;
  int bits = least;
  while (bits < most && (uint64_t{1} << bits) < size) ++bits;
  return bits;
}

tl::unexpected<Error> failed(const char* what) {
  return fail(ErrorCode::kSystem, Side::kUs, what);
}

class GzipEncoder : public Encoder {
 public:
  GzipEncoder(int level, uint64_t size) {
    // +16: with the gzip header. 8 bits of window are not what zlib can do (it would take 9).
    const int window = window_bits(size, 9, MAX_WBITS);
    const int memory = std::clamp(window - 7, 1, 8);
    is_ready_ =
        deflateInit2(&stream_, level, Z_DEFLATED, window + 16, memory, Z_DEFAULT_STRATEGY) == Z_OK;
  }
  GzipEncoder(const GzipEncoder&) = delete;
  GzipEncoder& operator=(const GzipEncoder&) = delete;
  ~GzipEncoder() override {
    if (is_ready_) deflateEnd(&stream_);
  }
  bool is_ready() const { return is_ready_; }

  Status write(std::string_view input, Flush flush, Chain& out) override {
    // zlib counts in 32 bits; a piece is a block or a little more.
    while (input.size() > std::numeric_limits<uInt>::max()) {
      if (auto status = step(input.substr(0, 1U << 30), Z_NO_FLUSH, out); !status) return status;
      input.remove_prefix(1U << 30);
    }
    const int how = flush == Flush::kFinish ? Z_FINISH
                    : flush == Flush::kSync ? Z_SYNC_FLUSH
                                            : Z_NO_FLUSH;
    return step(input, how, out);
  }

 private:
  Status step(std::string_view input, int how, Chain& out) {
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(input.data()));
    stream_.avail_in = static_cast<uInt>(input.size());
    for (;;) {
      stream_.next_out = reinterpret_cast<Bytef*>(out.prepare(kOutput));
      stream_.avail_out = kOutput;
      const int said = deflate(&stream_, how);
      out.commit(kOutput - stream_.avail_out);
      if (said == Z_STREAM_END) return {};
      // Z_BUF_ERROR: nothing was left to do, which is no error.
      if (said != Z_OK && said != Z_BUF_ERROR) return failed("gzip: deflate failed");
      if (stream_.avail_out != 0 && stream_.avail_in == 0 && how != Z_FINISH) return {};
    }
  }

  z_stream stream_{};
  bool is_ready_ = false;
};

class BrotliEncoder : public Encoder {
 public:
  BrotliEncoder(int level, uint64_t size)
      : state_(BrotliEncoderCreateInstance(nullptr, nullptr, nullptr)) {
    if (state_ == nullptr) return;
    const auto set = [this](BrotliEncoderParameter parameter, uint64_t value) {
      BrotliEncoderSetParameter(state_, parameter, static_cast<uint32_t>(value));
    };
    set(BROTLI_PARAM_QUALITY, static_cast<uint64_t>(level));
    set(BROTLI_PARAM_LGWIN,
        static_cast<uint64_t>(window_bits(size, BROTLI_MIN_WINDOW_BITS, kWindowBits)));
    set(BROTLI_PARAM_SIZE_HINT, std::min<uint64_t>(size, 1U << 30));
  }
  BrotliEncoder(const BrotliEncoder&) = delete;
  BrotliEncoder& operator=(const BrotliEncoder&) = delete;
  ~BrotliEncoder() override {
    if (state_ != nullptr) BrotliEncoderDestroyInstance(state_);
  }
  bool is_ready() const { return state_ != nullptr; }

  Status write(std::string_view input, Flush flush, Chain& out) override {
    const auto how = flush == Flush::kFinish ? BROTLI_OPERATION_FINISH
                     : flush == Flush::kSync ? BROTLI_OPERATION_FLUSH
                                             : BROTLI_OPERATION_PROCESS;
    size_t left = input.size();
    auto* at = reinterpret_cast<const uint8_t*>(input.data());
    do {
      auto* into = reinterpret_cast<uint8_t*>(out.prepare(kOutput));
      size_t room = kOutput;
      const bool well = BrotliEncoderCompressStream(state_, how, &left, &at, &room, &into, nullptr);
      out.commit(kOutput - room);
      if (!well) return failed("br: encoder failed");
    } while (left > 0 || BrotliEncoderHasMoreOutput(state_) ||
             (flush == Flush::kFinish && !BrotliEncoderIsFinished(state_)));
    return {};
  }

 private:
  BrotliEncoderState* state_;
};

class ZstdEncoder : public Encoder {
 public:
  ZstdEncoder(int level, uint64_t size) : context_(ZSTD_createCCtx()) {
    if (context_ == nullptr) return;
    const auto set = [this](ZSTD_cParameter parameter, int value) {
      ZSTD_CCtx_setParameter(context_, parameter, value);
    };
    set(ZSTD_c_compressionLevel, level);
    // RFC 9659: clients may refuse windows above 8 MiB; ours is far below.
    const int window = window_bits(size, 10, kWindowBits);
    set(ZSTD_c_windowLog, window);
    set(ZSTD_c_hashLog, window - 1);
    set(ZSTD_c_chainLog, window - 1);
    set(ZSTD_c_contentSizeFlag, 0);
  }
  ZstdEncoder(const ZstdEncoder&) = delete;
  ZstdEncoder& operator=(const ZstdEncoder&) = delete;
  ~ZstdEncoder() override { ZSTD_freeCCtx(context_); }
  bool is_ready() const { return context_ != nullptr; }

  Status write(std::string_view input, Flush flush, Chain& out) override {
    const auto how = flush == Flush::kFinish ? ZSTD_e_end
                     : flush == Flush::kSync ? ZSTD_e_flush
                                             : ZSTD_e_continue;
    ZSTD_inBuffer from{input.data(), input.size(), 0};
    for (;;) {
      ZSTD_outBuffer into{out.prepare(kOutput), kOutput, 0};
      const size_t left = ZSTD_compressStream2(context_, &into, &from, how);
      out.commit(into.pos);
      if (ZSTD_isError(left) != 0) return failed("zstd: encoder failed");
      const bool done = how == ZSTD_e_continue ? from.pos == from.size : left == 0;
      if (done) return {};
    }
  }

 private:
  ZSTD_CCtx* context_;
};

template <typename Kind>
std::unique_ptr<Encoder> ready_or_null(int level, uint64_t size) {
  auto encoder = std::make_unique<Kind>(level, size);
  if (!encoder->is_ready()) return nullptr;
  return encoder;
}

}  // namespace

std::string_view name_of(Coding coding) {
  constexpr std::array<std::string_view, kCodings> kNames = {"gzip", "br", "zstd"};
  return kNames[static_cast<size_t>(coding)];
}

LevelRange levels_of(Coding coding) {
  // Above br 6 and zstd 9 a body costs more time than a proxy has, and more memory.
  constexpr std::array<LevelRange, kCodings> kRanges = {{{1, 9, 5}, {0, 6, 4}, {1, 9, 3}}};
  return kRanges[static_cast<size_t>(coding)];
}

std::unique_ptr<Encoder> make_encoder(Coding coding, int level, uint64_t size) {
  switch (coding) {
    case Coding::kGzip:
      return ready_or_null<GzipEncoder>(level, size);
    case Coding::kBrotli:
      return ready_or_null<BrotliEncoder>(level, size);
    case Coding::kZstd:
      return ready_or_null<ZstdEncoder>(level, size);
  }
  return nullptr;
}

}  // namespace sluice::plugins
