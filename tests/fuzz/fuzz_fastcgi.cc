// Lines that become a request head and its records, which must be read back as what was meant;
// then, behind an empty line, the bytes an application answers, whole and one by one with the same
// outcome, and nothing of them in the answer that a plain reading of the records does not find.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/base/text.h"
#include "proxy/http/fastcgi_params.h"
#include "tests/unit/http/client_rig.h"
#include "tests/unit/http/fastcgi_rig.h"

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

void check_begin(const RequestHead& head, const config::Fastcgi& settings) {
  Chain out;
  if (const auto written = write_fastcgi_begin(head, settings, out); !written) {
    require(out.empty() && written.error().side == Side::kClient);
    return;
  }
  const auto read = testing::read_fastcgi(out.to_string());
  require(read.has_value() && read->begins == 1 && read->params_end && read->body.empty());
  require(read->get("REQUEST_METHOD") == head.method);
  require(read->get("REQUEST_URI") == head.target);
  require(read->get("QUERY_STRING") == head.query);
  require(read->get("PATH_INFO").find('\0') == std::string::npos);
  const std::string file = read->get("SCRIPT_FILENAME");
  require(settings.root.empty() ? file == "(none)" : file.starts_with(settings.root + "/"));
  require(file.find("/../") == std::string::npos && !file.ends_with("/.."));
  size_t own = 0;
  for (const auto& [name, value] : read->vars) {
    require(read->get(name) == value);  // no name twice
    if (!name.starts_with("HTTP_")) ++own;
  }
  // Without HTTPS and SERVER_ADDR, which this head has not; with a root two more.
  require(own == (settings.root.empty() ? 16 : 18));
}

struct Outcome {
  std::string body;
  std::string remarks;
  std::vector<int> interims;
  int status = 0;
  BodyRead last = BodyRead::kBlocked;
  bool broken = false;
  bool refused = false;
  bool reusable = false;
  bool operator==(const Outcome&) const = default;
};

Outcome answer(std::string_view bytes, bool one_byte, bool closes) {
  ClientRig<testing::KeptFastcgi> rig(one_byte);
  Listener& listener = rig.get();
  rig.wire.say(bytes);
  if (closes) rig.wire.fin();
  rig.tick();
  if (closes) require(listener.broken.size() + static_cast<size_t>(listener.heads) >= 1);
  require(listener.broken.size() <= 1 && listener.heads <= 1);
  Outcome outcome{listener.body,     listener.stream->take_remarks(),
                  listener.interims, listener.heads == 1 ? listener.head.status : 0,
                  listener.last,     !listener.broken.empty()};
  outcome.refused =
      outcome.broken && listener.stream->delivery() == ClientStream::Delivery::kNotReceived;
  listener.stream->finish();
  require(rig.streams_over == 1);
  outcome.reusable = rig.reusable;
  require(!outcome.reusable || (!closes && !outcome.broken && listener.last == BodyRead::kEnd));
  return outcome;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const auto end = std::min(input.find("\n\n"), input.size());
  const RequestHead head = head_of(input.substr(0, end));
  config::Fastcgi settings;
  check_begin(head, settings);
  settings.root = "/app";
  check_begin(head, settings);
  const std::string_view reply = input.substr(std::min(end + 2, input.size()));
  for (const bool closes : {false, true}) {
    const Outcome whole = answer(reply, false, closes);
    const Outcome pieces = answer(reply, true, closes);
    // Where it breaks is the same, what got through before may not be.
    require(whole.broken == pieces.broken && whole.status == pieces.status);
    require(whole.refused == pieces.refused);
    if (!whole.broken) {
      require(whole.body == pieces.body && whole.last == pieces.last);
      require(whole.interims == pieces.interims);
    }
  }
  return 0;
}
