// Inheritance: counters that go on over an upgrade. A process that retires says what it has counted
// since it last said so, as text; its successor adds that to its own at each scrape, so that no
// counter ever falls. Counters and histograms, by name and labels; gauges belong to who shows them.
// Guarded by its owner, Metrics.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <prometheus/metric_family.h>

namespace sluice::observe {

class Inheritance {
 public:
  using Families = std::vector<prometheus::MetricFamily>;

  // What a predecessor said; false: not understood, or more than there is room for.
  bool add(std::string_view text);
  // Adds what was inherited to what is shown.
  void apply(Families& shown) const;
  // What `shown` has grown by since the last call.
  std::string take_increment(const Families& shown);

 private:
  static constexpr size_t kMostSeries = 50'000;
  struct Series {
    std::vector<prometheus::ClientMetric::Label> labels;
    double value = 0;                    // a counter's; a histogram's sum
    std::map<double, uint64_t> buckets;  // by upper bound, not cumulative
  };
  struct Family {
    prometheus::MetricType type = prometheus::MetricType::Counter;
    std::string help;
    std::map<std::string, Series> series;  // by its labels
  };
  using Table = std::map<std::string, Family>;

  static Table table_of(const Families& families);
  static std::string encode(const Table& table);
  static bool decode(std::string_view text, Table& into);
  static void show(const Family& family, prometheus::MetricFamily& into);
  static void show(const Series& series, prometheus::MetricType type,
                   prometheus::ClientMetric& into);

  Table inherited_;  // bounded by kMostSeries
  Table given_;      // what the successor knows
};

}  // namespace sluice::observe
