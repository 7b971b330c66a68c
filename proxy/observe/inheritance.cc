#include "proxy/observe/inheritance.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <utility>

#include "proxy/base/text.h"

namespace sluice::observe {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

namespace {

// One line a family ("f", c or h, name, help), then one a series ("s", value, number of buckets,
// bound and count of each, name and value of each label); fields are separated by tabs.
std::string escaped(std::string_view field) {
  std::string out;
  for (const char c : field) {
    if (c == '\\') {
      out += "\\\\";
    } else if (c == '\t') {
      out += "\\t";
    } else if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
  return out;
}

std::string unescaped(std::string_view field) {
  std::string out;
  for (size_t i = 0; i < field.size(); ++i) {
    if (field[i] != '\\' || i + 1 == field.size()) {
      out += field[i];
      continue;
    }
    ++i;
    out += field[i] == 't' ? '\t' : field[i] == 'n' ? '\n' : field[i];
  }
  return out;
}

std::string number_text(double value) {
  char text[32];
  return {text, std::to_chars(text, text + sizeof text, value).ptr};
}

template <typename Number>
bool parse_number(std::string_view text, Number& into) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), into);
  return error == std::errc{} && end == text.data() + text.size();
}

// Labels in any order are the same series.
std::string key_of(const std::vector<ClientMetric::Label>& labels) {
  std::vector<std::string> parts;
  for (const auto& label : labels) parts.push_back(escaped(label.name) + "\t" + label.value);
  std::sort(parts.begin(), parts.end());
  std::string key;
  for (const std::string& part : parts) key += part + "\n";
  return key;
}

}  // namespace

Inheritance::Table Inheritance::table_of(const Families& families) {
  Table table;
  for (const MetricFamily& family : families) {
    if (family.type != MetricType::Counter && family.type != MetricType::Histogram) continue;
    Family& known = table[family.name];
    known.type = family.type;
    known.help = family.help;
    for (const ClientMetric& metric : family.metric) {
      Series& series = known.series[key_of(metric.label)];
      series.labels = metric.label;
      if (family.type == MetricType::Counter) {
        series.value = metric.counter.value;
        continue;
      }
      series.value = metric.histogram.sample_sum;
      uint64_t below = 0;
      for (const auto& bucket : metric.histogram.bucket) {
        series.buckets[bucket.upper_bound] = bucket.cumulative_count - below;
        below = bucket.cumulative_count;
      }
    }
  }
  return table;
}

std::string Inheritance::encode(const Table& table) {
  std::string text;
  for (const auto& [name, family] : table) {
    if (family.series.empty()) continue;
    const char* type = family.type == MetricType::Counter ? "c" : "h";
    text += std::string("f\t") + type + "\t" + name + "\t" + escaped(family.help) + "\n";
    for (const auto& [key, series] : family.series) {
      text += "s\t" + number_text(series.value) + "\t" + std::to_string(series.buckets.size());
      for (const auto& [bound, count] : series.buckets) {
        text += "\t" + number_text(bound) + "\t" + std::to_string(count);
      }
      for (const auto& label : series.labels) {
        text += "\t" + escaped(label.name) + "\t" + escaped(label.value);
      }
      text += "\n";
    }
  }
  return text;
}

bool Inheritance::decode(std::string_view text, Table& into) {
  Family* family = nullptr;
  size_t count = 0;
  for (const std::string_view line : split(text, '\n')) {
    const auto fields = split(line, '\t');
    if (line.empty()) continue;
    if (fields[0] == "f" && fields.size() == 4) {
      family = &into[std::string(fields[2])];
      family->type = fields[1] == "c" ? MetricType::Counter : MetricType::Histogram;
      family->help = unescaped(fields[3]);
      continue;
    }
    Series series;
    size_t buckets = 0;
    if (fields[0] != "s" || family == nullptr || fields.size() < 3 || ++count > kMostSeries ||
        !parse_number(fields[1], series.value) || !parse_number(fields[2], buckets) ||
        buckets > (fields.size() - 3) / 2 || fields.size() % 2 == 0) {
      return false;
    }
    size_t at = 3;
    for (; buckets > 0; --buckets, at += 2) {
      double bound = 0;
      uint64_t inside = 0;
      if (!parse_number(fields[at], bound) || !parse_number(fields[at + 1], inside)) return false;
      series.buckets[bound] = inside;
    }
    for (; at + 1 < fields.size(); at += 2) {
      series.labels.push_back({unescaped(fields[at]), unescaped(fields[at + 1])});
    }
    family->series.emplace(key_of(series.labels), std::move(series));
  }
  return true;
}

bool Inheritance::add(std::string_view text) {
  Table more;
  if (!decode(text, more)) return false;
  size_t known = 0;
  for (const auto& [name, family] : inherited_) known += family.series.size();
  for (auto& [name, family] : more) {
    Family& here = inherited_[name];
    here.type = family.type;
    here.help = family.help;
    for (auto& [key, series] : family.series) {
      const auto [at, is_new] = here.series.try_emplace(key);
      if (is_new && ++known > kMostSeries) return here.series.erase(at), false;
      at->second.labels = std::move(series.labels);
      at->second.value += series.value;
      for (const auto& [bound, count] : series.buckets) at->second.buckets[bound] += count;
    }
  }
  return true;
}

void Inheritance::apply(Families& shown) const {
  for (const auto& [name, family] : inherited_) {
    const auto same = std::find_if(shown.begin(), shown.end(), [&wanted = name](const auto& one) {
      return one.name == wanted;
    });
    if (same == shown.end()) {
      show(family, shown.emplace_back(MetricFamily{name, family.help, family.type, {}}));
    } else if (same->type == family.type) {
      show(family, *same);
    }
  }
}

void Inheritance::show(const Family& family, MetricFamily& into) {
  std::map<std::string, size_t> places;
  for (size_t i = 0; i < into.metric.size(); ++i) places.emplace(key_of(into.metric[i].label), i);
  for (const auto& [key, series] : family.series) {
    const auto known = places.find(key);
    if (known != places.end()) {
      show(series, family.type, into.metric[known->second]);
      continue;
    }
    ClientMetric& metric = into.metric.emplace_back();
    metric.label = series.labels;
    for (const auto& [bound, count] : series.buckets) metric.histogram.bucket.push_back({0, bound});
    show(series, family.type, metric);
  }
}

// Buckets that are configured otherwise now: what was counted goes to the next wider one.
void Inheritance::show(const Series& series, MetricType type, ClientMetric& into) {
  if (type == MetricType::Counter) {
    into.counter.value += series.value;
    return;
  }
  into.histogram.sample_sum += series.value;
  for (const auto& [bound, count] : series.buckets) {
    into.histogram.sample_count += count;
    for (auto& bucket : into.histogram.bucket) {
      if (bucket.upper_bound >= bound) bucket.cumulative_count += count;
    }
  }
}

std::string Inheritance::take_increment(const Families& shown) {
  Table now = table_of(shown);
  Table grown = now;
  for (auto& [name, family] : grown) {
    const auto before = given_.find(name);
    for (auto& [key, series] : family.series) {
      if (before == given_.end()) break;
      const auto known = before->second.series.find(key);
      if (known == before->second.series.end()) continue;
      series.value -= known->second.value;
      for (auto& [bound, count] : series.buckets) {
        const auto same = known->second.buckets.find(bound);
        if (same != known->second.buckets.end()) count -= std::min(count, same->second);
      }
    }
    std::erase_if(family.series, [](const auto& entry) {
      const Series& series = entry.second;
      return series.value <= 0 && std::all_of(series.buckets.begin(), series.buckets.end(),
                                              [](const auto& b) { return b.second == 0; });
    });
  }
  given_ = std::move(now);
  return encode(grown);
}

}  // namespace sluice::observe
