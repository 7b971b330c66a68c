// What dump.cc and dump_upstream.cc write with: lines of "key: value" at a depth, and values in the
// form that reads back as the same. Lives as long as one dump; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/base/bytes.h"
#include "proxy/base/clock.h"
#include "proxy/config/upstream.h"

namespace sluice::config {

class Writer {
 public:
  void line(int depth, std::string_view key, std::string_view value);
  // The line written last begins an item of a list.
  void begin_item(size_t from) { out_[out_.find_first_not_of(' ', from) - 2] = '-'; }
  size_t mark() const { return out_.size(); }
  std::string take() { return std::move(out_); }

 private:
  std::string out_;
};

// Plain where YAML takes it as it is, else in double quotes.
std::string quote(std::string_view text);
std::string list_of(const std::vector<std::string>& texts);
std::string or_word(uint64_t number, std::string_view zero);
std::string or_word(Bytes bytes, std::string_view zero);
std::string or_word(Duration duration, std::string_view zero);
std::string percent_or_off(uint32_t percent);
std::string_view on_off(bool flag);

void write_buffering(Writer& w, int depth, const Buffering& b);
void write_upstream(Writer& w, const Upstream& u);

}  // namespace sluice::config
