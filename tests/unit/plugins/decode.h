// Decoders of the content codings, for tests: as strict as a client, input as far as it is there.
#pragma once

#include <string>
#include <string_view>

#include <brotli/decode.h>
#include <zlib.h>
#include <zstd.h>

namespace sluice::plugins {

struct Decoded {
  std::string text;
  bool is_whole = false;  // the coding's end was there, and nothing after it
};

inline Decoded decode_gzip(std::string_view bytes) {
  Decoded out;
  z_stream stream{};
  inflateInit2(&stream, MAX_WBITS + 16);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  int said = Z_OK;
  while (said == Z_OK) {
    char room[4096];
    stream.next_out = reinterpret_cast<Bytef*>(room);
    stream.avail_out = sizeof room;
    said = inflate(&stream, Z_NO_FLUSH);
    out.text.append(room, sizeof room - stream.avail_out);
    if (stream.avail_in == 0 && stream.avail_out != 0) break;
  }
  out.is_whole = said == Z_STREAM_END && stream.avail_in == 0;
  inflateEnd(&stream);
  return out;
}

inline Decoded decode_br(std::string_view bytes) {
  Decoded out;
  auto* state = BrotliDecoderCreateInstance(nullptr, nullptr, nullptr);
  size_t left = bytes.size();
  auto* at = reinterpret_cast<const uint8_t*>(bytes.data());
  auto said = BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT;
  // Asking for input does not mean that all output is out.
  while (said == BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT || BrotliDecoderHasMoreOutput(state)) {
    uint8_t room[4096];
    size_t free = sizeof room;
    uint8_t* into = room;
    said = BrotliDecoderDecompressStream(state, &left, &at, &free, &into, nullptr);
    out.text.append(reinterpret_cast<char*>(room), sizeof room - free);
  }
  out.is_whole = said == BROTLI_DECODER_RESULT_SUCCESS && left == 0;
  BrotliDecoderDestroyInstance(state);
  return out;
}

inline Decoded decode_zstd(std::string_view bytes) {
  Decoded out;
  auto* context = ZSTD_createDCtx();
  ZSTD_inBuffer from{bytes.data(), bytes.size(), 0};
  size_t said = 1;
  for (;;) {
    char room[4096];
    ZSTD_outBuffer into{room, sizeof room, 0};
    said = ZSTD_decompressStream(context, &into, &from);
    out.text.append(room, into.pos);
    if (ZSTD_isError(said) != 0 || said == 0) break;
    if (from.pos == from.size && into.pos < sizeof room) break;
  }
  out.is_whole = said == 0 && from.pos == from.size;
  ZSTD_freeDCtx(context);
  return out;
}

}  // namespace sluice::plugins
