// PROXY headers: however the bytes come, one verdict; within its ceilings; and what is believed of
// them can be written again.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "proxy/base/assert.h"
#include "proxy/net/proxy_header.h"

using namespace sluice::net;
using State = ProxyVerdict::State;
using Version = sluice::config::ProxyVersion;

namespace {

void check_words(const ProxyHeader& header) {
  for (const auto* word :
       {&header.vpc_endpoint, &header.unique_id, &header.authority, &header.alpn, &header.tls}) {
    SLUICE_ASSERT(word->size() <= kMostProxyWord);
    for (const char c : *word) SLUICE_ASSERT(static_cast<uint8_t>(c) >= 0x20 && c != 0x7f);
  }
}

void check_again(const ProxyHeader& header) {
  for (const Version version : {Version::kV1, Version::kV2}) {
    const auto wire = write_proxy_header(version, header.source, header.destination);
    SLUICE_ASSERT(version == Version::kV2 || wire.size() <= kMostProxyLine);
    ProxyHeader again;
    const ProxyVerdict verdict = parse_proxy_header(wire, again);
    SLUICE_ASSERT(verdict.state == State::kWhole && verdict.size == wire.size());
    if (again.origin == ProxyHeader::Origin::kNone) continue;  // "::" is nobody
    SLUICE_ASSERT(again.source.ip == header.source.ip && again.source.port == header.source.port);
    SLUICE_ASSERT(again.destination.port == header.destination.port);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes{reinterpret_cast<const char*>(data), size};
  ProxyHeader header;
  const ProxyVerdict all = parse_proxy_header(bytes, header);
  // A piece more each time: the first that is no kMore is the verdict on the whole.
  ProxyVerdict first;
  for (size_t i = 0; i <= size && first.state == State::kMore; ++i) {
    ProxyHeader piece;
    first = parse_proxy_header(bytes.substr(0, i), piece);
  }
  SLUICE_ASSERT(first.state == all.state && first.size == all.size);
  SLUICE_ASSERT(all.state != State::kMore || size < kMostProxyHeader);
  if (all.state != State::kWhole) return 0;
  SLUICE_ASSERT(all.size <= size && all.size <= kMostProxyHeader);
  check_words(header);
  if (header.origin == ProxyHeader::Origin::kAddress) check_again(header);
  return 0;
}
