#include "proxy/http/uwsgi_client.h"

#include <fmt/format.h>

namespace sluice::http {
namespace {

// uWSGI's defaults: above them it closes without a word ("invalid request block size", "max vec
// size").
constexpr size_t kUsualBufferSize = 4096;
constexpr size_t kUsualPairs = 127;

}  // namespace

Status UwsgiClient::write_head(const RequestHead& head, Chain& out) {
  auto packet = write_uwsgi_packet(head, out);
  if (!packet) return tl::unexpected(packet.error());
  packet_ = *packet;
  return {};
}

void UwsgiClient::explain_silence(Error& error) const {
  if (packet_.size > kUsualBufferSize) {
    error.detail += fmt::format(
        "; the uwsgi block has {} bytes and uWSGI takes {} unless its option buffer-size says more",
        packet_.size, kUsualBufferSize);
  }
  if (packet_.pairs > kUsualPairs) {
    error.detail += fmt::format(
        "; the uwsgi block has {} variables and uWSGI takes {} unless its option max-vars says "
        "more",
        packet_.pairs, kUsualPairs);
  }
}

}  // namespace sluice::http
