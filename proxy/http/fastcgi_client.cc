#include "proxy/http/fastcgi_client.h"

#include <algorithm>
#include <utility>

#include "proxy/http/fastcgi_params.h"

namespace sluice::http {
namespace {

void put_head(FastcgiType type, size_t size, Chain& out) {
  const FastcgiHead head = fastcgi_head(type, size);
  out.append_copy({head.data(), head.size()});
}

}  // namespace

Status FastcgiClient::write_head(const RequestHead& head, Chain& out) {
  keeps_ = settings_.keep;
  answer_.begin(settings_.remarks.count);
  return write_fastcgi_begin(head, settings_, out);
}

void FastcgiClient::write_body(Chain&& bytes, Chain& out) {
  while (!bytes.empty()) {
    const auto size = std::min<uint64_t>(bytes.size(), kFastcgiContent);
    put_head(FastcgiType::kStdin, static_cast<size_t>(size), out);
    out.append(bytes.take_front(size));
  }
}

void FastcgiClient::write_end(Chain& out) {
  put_head(FastcgiType::kStdin, 0, out);
}

void FastcgiClient::write_abort(Chain& out) {
  put_head(FastcgiType::kAbortRequest, 0, out);
}

}  // namespace sluice::http
