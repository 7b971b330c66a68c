#include "proxy/upstream/hold_queue.h"

#include <string>
#include <vector>

#include <doctest/doctest.h>

using sluice::upstream::HoldQueue;

namespace {

struct Line {
  explicit Line(size_t count) : entries(count) {
    for (size_t i = 0; i < count; ++i) {
      entries[i].number = i;
      entries[i].bytes = 10;
    }
  }
  std::string order() const {
    std::string text;
    const HoldQueue::Entry* last = nullptr;
    for (const auto* entry = queue.first(); entry != nullptr; entry = entry->next) {
      CHECK(entry->previous == last);
      last = entry;
      text += std::to_string(entry->number);
    }
    return text;
  }
  std::vector<HoldQueue::Entry> entries;
  HoldQueue queue;
};

}  // namespace

TEST_CASE("hold queue: in the order of arrival, whoever leaves") {
  Line line(5);
  for (auto& entry : line.entries) line.queue.insert(entry);
  CHECK(line.order() == "01234");
  line.queue.remove(line.entries[2]);
  CHECK(line.order() == "0134");
  line.queue.remove(line.entries[0]);
  line.queue.remove(line.entries[4]);
  CHECK(line.order() == "13");
  CHECK(line.queue.size() == 2);
  CHECK(line.queue.bytes() == 20);
  line.queue.remove(line.entries[1]);
  line.queue.remove(line.entries[3]);
  CHECK(line.queue.empty());
  CHECK(line.queue.bytes() == 0);
}

TEST_CASE("hold queue: who comes back stands where it stood") {
  Line line(6);
  line.queue.insert(line.entries[3]);
  line.queue.insert(line.entries[5]);
  line.queue.insert(line.entries[1]);
  CHECK(line.order() == "135");
  line.queue.insert(line.entries[0]);
  line.queue.insert(line.entries[2]);
  line.queue.insert(line.entries[4]);
  CHECK(line.order() == "012345");
  line.queue.remove(line.entries[5]);
  line.queue.remove(line.entries[0]);
  line.queue.insert(line.entries[5]);
  line.queue.insert(line.entries[0]);
  CHECK(line.order() == "012345");
}
