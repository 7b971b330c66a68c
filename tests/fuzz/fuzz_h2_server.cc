// A client's frames against an H2Server: the first byte says how the exchanges behave, then each
// piece up to "\n|" is said, and the byte behind it is an event. Whatever the client does, every
// exchange hears of its end once, nothing unbounded is kept, and the connection ends.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "tests/unit/http/h2_rig.h"

using namespace sluice;
using namespace sluice::http;
using testing::FakeExchange;
using testing::H2Rig;

namespace {

constexpr size_t kMostStreams = 8;

void require(bool holds) {
  if (!holds) std::abort();
}

// Answers and leaves each exchange exactly once; the rig deletes nothing before its end.
struct Script {
  explicit Script(bool one_byte) : rig(one_byte) {}

  FakeExchange* running() {
    while (done < rig.exchanges.size() && over.size() > done && over[done]) ++done;
    over.resize(rig.exchanges.size());
    for (size_t i = done; i < over.size(); ++i) {
      if (!over[i]) return rig.exchanges[i].get();
    }
    return nullptr;
  }
  void leave(FakeExchange& exchange) {
    over.resize(rig.exchanges.size());
    for (size_t i = done; i < over.size(); ++i) {
      if (rig.exchanges[i].get() == &exchange) over[i] = true;
    }
  }
  void answer(FakeExchange& exchange, size_t size) {
    if (exchange.broken.empty()) exchange.read();
    exchange.answer(200, std::string(size, 'a'));
    leave(exchange);
    exchange.stream.finish();
  }
  void stream_answer(FakeExchange& exchange) {
    exchange.begin_unknown();
    exchange.send("part");
    exchange.stream.flush();
    Headers trailers;
    trailers.add("x-sum", "1");
    exchange.stream.send_end(std::move(trailers));
    exchange.stream.flush();
    leave(exchange);
    exchange.stream.finish();
  }
  void reset(FakeExchange& exchange) {
    leave(exchange);
    exchange.stream.reset();
  }

  H2Rig rig;
  size_t done = 0;
  std::vector<bool> over;  // of rig.exchanges
};

void happen(Script& script, char what) {
  H2Rig& rig = script.rig;
  FakeExchange* const exchange = script.running();
  switch (what) {
    case 'f': return rig.wire.fin();
    case 'r': return rig.wire.rst();
    case 't': return rig.advance(std::chrono::seconds(11));
    case 'T': return rig.advance(std::chrono::seconds(80));
    case 'd': return rig.h2->drain(true);
    case 'c': return rig.h2->close("closing");
    case 'b': rig.wire.write_room = 30; return;
    case 'u': return rig.wire.unblock();
    default: break;
  }
  if (exchange == nullptr) return;
  switch (what) {
    case 'w': exchange->read(7); return;
    case 'x': return script.reset(*exchange);
    case 'L': return script.answer(*exchange, 200'000);
    case 's': return script.stream_answer(*exchange);
    default: return script.answer(*exchange, 2);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const uint8_t manner = data[0];
  std::string_view input(reinterpret_cast<const char*>(data + 1), size - 1);
  Script script((manner & 1) != 0);
  H2Rig& rig = script.rig;
  rig.limits.streams = kMostStreams;
  rig.limits.linger_bytes = 200;
  rig.limits.header_block = 2000;
  rig.limits.requests = (manner & 2) != 0 ? 3 : 0;
  if ((manner & 4) != 0) rig.act = [&script](FakeExchange& e) { script.answer(e, 2); };
  rig.start_h2();
  if ((manner & 8) == 0) {
    rig.wire.say(std::string(kH2Preface) + testing::frame(NGHTTP2_SETTINGS, 0, 0, ""));
  }
  while (!input.empty()) {
    const size_t bar = std::min(input.find("\n|"), input.size());
    rig.wire.say(input.substr(0, bar));
    input.remove_prefix(std::min(bar + 2, input.size()));
    const char what = input.empty() ? 'a' : input.front();
    if (!input.empty()) input.remove_prefix(1);
    happen(script, what);
    rig.tick();
  }
  rig.wire.unblock();
  rig.wire.fin();
  while (FakeExchange* const exchange = script.running()) {
    if (exchange->broken.empty()) {
      script.answer(*exchange, 2);
    } else {
      script.reset(*exchange);
    }
    rig.tick();
  }
  // A client that opened no window for its answers, or never took them.
  for (int i = 0; i < 20 && rig.overs == 0; ++i) rig.advance(std::chrono::seconds(60));
  require(rig.overs == 1);
  require(rig.h2->streams() == 0);
  for (const auto& exchange : rig.exchanges) require(exchange->broken.size() <= 2);
  return 0;
}
