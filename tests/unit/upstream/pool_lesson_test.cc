#include "proxy/upstream/keep_alive_lesson.h"

#include <vector>

#include <doctest/doctest.h>

using namespace std::chrono_literals;
using sluice::Duration;
using sluice::TimePoint;
using sluice::upstream::KeepAliveLesson;
using News = KeepAliveLesson::News;

namespace {

struct Fin {
  Duration at;
  Duration idle;
};
struct Case {
  const char* what;
  std::vector<Fin> fins;
  bool bursts;
  Duration learned;
};

}  // namespace

TEST_CASE("keep-alive: what FINs teach") {
  const std::vector<Case> cases = {
      {"one", {{0ms, 2s}}, false, 2s},
      {"the least of several", {{0ms, 2100ms}, {60ms, 2s}}, false, 2s},
      {"no timer is that short", {{0ms, 19ms}}, false, 0s},
      {"the shortest timer", {{0ms, 20ms}}, false, 20ms},
      {"two are no burst", {{0ms, 2s}, {1ms, 1s}}, false, 1s},
      {"three of different ages are", {{0ms, 2s}, {1ms, 1s}, {50ms, 500ms}}, true, 0s},
      {"not over a longer time", {{0ms, 2s}, {1ms, 1s}, {51ms, 500ms}}, false, 500ms},
      {"of one age: they went idle together", {{0ms, 2s}, {1ms, 2005ms}, {2ms, 2s}}, false, 2s},
      {"told once", {{0ms, 2s}, {1ms, 1s}, {2ms, 500ms}, {3ms, 100ms}}, true, 0s},
  };
  for (const Case& c : cases) {
    CAPTURE(c.what);
    KeepAliveLesson lesson;
    // Twice: nothing stays behind.
    for (TimePoint start : {TimePoint{1h}, TimePoint{2h}}) {
      int begun = 0;
      int bursts = 0;
      for (const Fin& fin : c.fins) {
        const News news = lesson.on_fin(start + fin.at, fin.idle);
        if (news == News::kBegun) ++begun;
        if (news == News::kBurst) ++bursts;
      }
      CHECK(begun == 1);
      CHECK(bursts == (c.bursts ? 1 : 0));
      CHECK(lesson.conclude() == c.learned);
    }
  }
}
