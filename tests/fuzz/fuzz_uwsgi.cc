// Lines that become a request head and its packet, which must be read back as what was meant; then,
// behind an empty line, the bytes an application answers, whole and one by one with the same
// outcome.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/base/text.h"
#include "proxy/http/uwsgi_client.h"
#include "tests/unit/http/client_rig.h"
#include "tests/unit/http/uwsgi_packet.h"

using namespace sluice;
using namespace sluice::http;
using testing::ClientRig;
using testing::Listener;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

// "METHOD TARGET", then "Name: value" a line.
RequestHead head_of(std::string_view text) {
  const auto lines = split(text, '\n');
  const auto space = lines[0].find(' ');
  const auto target = space == std::string_view::npos ? "/" : lines[0].substr(space + 1);
  RequestHead head = testing::request(lines[0].substr(0, space), target);
  for (size_t i = 1; i < lines.size(); ++i) {
    const auto colon = lines[i].find(": ");
    if (colon == std::string_view::npos || colon == 0) continue;
    head.headers.add(lines[i].substr(0, colon), lines[i].substr(colon + 2));
  }
  return head;
}

void check_packet(const RequestHead& head) {
  Chain out;
  const auto packet = write_uwsgi_packet(head, out);
  if (!packet) {
    require(out.empty() && packet.error().side == Side::kClient);
    return;
  }
  require(packet->size <= 65535 && out.size() == packet->size + 4);
  const auto read = testing::read_uwsgi(out.to_string());
  require(read.has_value() && read->rest.empty() && read->vars.size() == packet->pairs);
  require(read->get("REQUEST_METHOD") == head.method);
  require(read->get("REQUEST_URI") == head.target);
  require(read->get("QUERY_STRING") == head.query);
  require(read->get("HTTP_CONNECTION") == "close");
  require(read->get("PATH_INFO").find('\0') == std::string::npos);
  size_t own = 0;
  for (const auto& [name, value] : read->vars) {
    require(read->get(name) == value);  // no name twice
    if (name.starts_with("HTTP_")) continue;
    require(!name.starts_with("UWSGI_") && name != "SCRIPT_NAME" && name != "REMOTE_USER");
    ++own;
  }
  require(own == 13);  // without HTTPS and SERVER_ADDR, which this head has not
}

struct Outcome {
  std::string body;
  std::vector<int> interims;
  int status = 0;
  BodyRead last = BodyRead::kBlocked;
  bool broken = false;
  bool operator==(const Outcome&) const = default;
};

Outcome answer(std::string_view bytes, bool one_byte, bool by_reset) {
  ClientRig<UwsgiClient> rig(one_byte);
  Listener& listener = rig.get();
  rig.wire.say(bytes);
  if (by_reset) {
    rig.wire.rst();
  } else {
    rig.wire.fin();
  }
  rig.tick();
  require(listener.broken.size() + static_cast<size_t>(listener.heads) >= 1);
  require(listener.broken.size() <= 1 && listener.heads <= 1);
  Outcome outcome{listener.body, listener.interims, listener.heads == 1 ? listener.head.status : 0,
                  listener.last, !listener.broken.empty()};
  listener.stream->finish();
  require(rig.streams_over == 1 && !rig.reusable);
  return outcome;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const auto end = std::min(input.find("\n\n"), input.size());
  check_packet(head_of(input.substr(0, end)));
  const std::string_view reply = input.substr(std::min(end + 2, input.size()));
  for (const bool by_reset : {false, true}) {
    const Outcome whole = answer(reply, false, by_reset);
    const Outcome pieces = answer(reply, true, by_reset);
    // Where it breaks is the same, what got through before may not be.
    require(whole.broken == pieces.broken && whole.status == pieces.status);
    if (!whole.broken) require(whole == pieces);
  }
  return 0;
}
