// A client's script against an H1Server: the first byte says how the exchanges behave, then each
// line of
// "\n|" is an event. Whatever the client does, requests and answers stay in step, and the
// connection ends.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "tests/unit/http/server_rig.h"

using namespace sluice;
using namespace sluice::http;
using testing::FakeExchange;
using testing::ServerRig;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

// Answers and leaves unless it has; the rig deletes nothing before its end.
struct Script {
  ServerRig rig;
  size_t finished = 0;

  void answer_last() {
    if (finished == rig.exchanges.size()) return;
    FakeExchange& exchange = rig.last();
    if (exchange.broken.empty()) exchange.read();
    exchange.answer(200, "ok");
    exchange.stream.finish();
    finished = rig.exchanges.size();
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const uint8_t manner = data[0];
  std::string_view input(reinterpret_cast<const char*>(data + 1), size - 1);
  Script script;
  ServerRig& rig = script.rig;
  rig.wire.one_byte = (manner & 1) != 0;
  rig.limits.linger_bytes = 200;
  rig.limits.requests = (manner & 2) != 0 ? 3 : 0;
  if ((manner & 4) != 0) {
    rig.act = [&script](FakeExchange& exchange) {
      exchange.answer(200, "ok");
      exchange.stream.finish();
      script.finished = script.rig.exchanges.size();
    };
  }
  rig.start();
  while (!input.empty()) {
    const size_t bar = std::min(input.find("\n|"), input.size());
    rig.wire.say(input.substr(0, bar));
    input.remove_prefix(std::min(bar + 2, input.size()));
    require(rig.exchanges.size() <= script.finished + 1);  // one at a time
    const char what = input.empty() ? 'a' : input.front();
    if (!input.empty()) input.remove_prefix(1);
    switch (what) {
      case 'f': rig.wire.fin(); break;
      case 'r': rig.wire.rst(); break;
      case 't': rig.advance(std::chrono::seconds(11)); break;
      case 'T': rig.advance(std::chrono::seconds(80)); break;
      case 'd': rig.server->drain(true); break;
      case 'b': rig.wire.write_room = 30; break;
      case 'u': rig.wire.unblock(); break;
      case 'w':
        if (script.finished < rig.exchanges.size()) rig.last().read(7);
        break;
      default: script.answer_last();
    }
    rig.tick();
  }
  for (int i = 0; i < 1000 && script.finished < rig.exchanges.size(); ++i) {
    script.answer_last();
    rig.wire.unblock();
    rig.tick();
  }
  rig.server->close("fuzz");
  rig.tick();
  if (script.finished < rig.exchanges.size()) rig.last().stream.reset();
  rig.wire.rst();
  rig.advance(std::chrono::minutes(5));
  require(rig.overs == 1 && !rig.server->has_request());
  return 0;
}
