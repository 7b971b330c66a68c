#include <algorithm>

#include <fmt/format.h>

#include "proxy/base/text.h"
#include "proxy/config/node.h"
#include "proxy/config/units.h"

namespace sluice::config {
namespace {

constexpr size_t kLongestKey = 64;  // a longer one is no slip of the pen

std::string join(const std::vector<std::string_view>& words, std::string_view separator) {
  std::string all;
  for (const auto word : words) {
    if (!all.empty()) all += separator;
    all += word;
  }
  return all;
}

std::string_view kind_of(const Node& node) {
  switch (node.kind) {
    case Node::Kind::kNull: return "nothing";
    case Node::Kind::kScalar: return "a single value";
    case Node::Kind::kList: return "a list";
    case Node::Kind::kMap: return "a map";
  }
  return {};
}

}  // namespace

std::string suggest(std::string_view wrong, const std::vector<std::string_view>& words) {
  std::string_view nearest;
  size_t least = wrong.size() / 3 + 2;  // further away is no slip
  for (const auto word : words) {
    if (wrong.size() > kLongestKey) break;
    const size_t distance = edit_distance(to_lower(wrong), word);
    if (distance < least && distance < word.size()) {
      least = distance;
      nearest = word;
    }
  }
  if (!nearest.empty()) return fmt::format(", did you mean \"{}\"?", nearest);
  auto sorted = words;
  std::sort(sorted.begin(), sorted.end());
  sorted.erase(std::unique(sorted.begin(), sorted.end()), sorted.end());
  return fmt::format("; known here: {}", join(sorted, ", "));
}

MapReader::MapReader(const Node& node, Faults& faults, KeyLog* log)
    : node_(node), faults_(faults), log_(log) {
  if (!node.is_map() && !node.is_null()) {
    faults.add(node, fmt::format("is {}, a map (key: value) is wanted", kind_of(node)));
  }
}

std::string MapReader::key_of(std::string_view name) const {
  return node_.key.empty() ? std::string{name} : fmt::format("{}.{}", node_.key, name);
}

bool MapReader::has(std::string_view name) const {
  const Node* found = node_.find(name);
  return found != nullptr && !found->is_null();
}

void MapReader::fault(std::string_view name, std::string_view what) {
  const Node* found = name.empty() ? &node_ : node_.find(name);
  if (found != nullptr) return faults_.add(*found, what);
  faults_.add(node_.file, node_.line, key_of(name), what);
}

const Node* MapReader::take(std::string_view name) {
  asked_.emplace_back(name);
  if (log_ != nullptr) log_->try_emplace(key_of(name));
  return node_.find(name);
}

const Node* MapReader::child(std::string_view name) {
  const Node* found = take(name);
  return found == nullptr || found->is_null() ? nullptr : found;
}

const Node* MapReader::scalar(std::string_view name) {
  const Node* found = take(name);
  if (found == nullptr || found->is_scalar()) return found;
  faults_.add(*found, found->is_null()
                          ? "has no value; give one, or leave the key out for its default"
                          : fmt::format("is {}, a single value is wanted", kind_of(*found)));
  return nullptr;
}

void MapReader::text(std::string_view name, std::string& into) {
  if (const Node* found = scalar(name)) into = found->scalar;
}

void MapReader::flag(std::string_view name, bool& into) {
  const Node* found = scalar(name);
  if (found == nullptr) return;
  const auto value = parse_flag(found->scalar);
  if (value) {
    into = *value;
  } else {
    faults_.add(*found, fmt::format("\"{}\" is neither on nor off", found->scalar));
  }
}

void MapReader::number(std::string_view name, uint64_t& into, uint64_t least, uint64_t most,
                       std::string_view zero) {
  const Node* found = scalar(name);
  if (found == nullptr) return;
  if (!zero.empty() && found->scalar == zero) {
    into = 0;
    return;
  }
  const auto value = parse_decimal(found->scalar);
  if (value && ((*value >= least && *value <= most) || (*value == 0 && !zero.empty()))) {
    into = *value;
    return;
  }
  faults_.add(*found, fmt::format("\"{}\" is not a whole number from {} to {}{}{}", found->scalar,
                                  least, most, zero.empty() ? "" : ", or ", zero));
}

void MapReader::number(std::string_view name, uint32_t& into, uint32_t least, uint32_t most,
                       std::string_view zero) {
  uint64_t wide = into;
  number(name, wide, uint64_t{least}, uint64_t{most}, zero);
  into = static_cast<uint32_t>(wide);
}

void MapReader::duration(std::string_view name, Duration& into, Duration least,
                         std::string_view zero) {
  const Node* found = scalar(name);
  if (found == nullptr) return;
  if (!zero.empty() && found->scalar == zero) {
    into = Duration{0};
    return;
  }
  const auto value = parse_duration(found->scalar);
  if (!value) return faults_.add(*found, value.error().detail);
  if (*value < least && (zero.empty() || value->count() != 0)) {
    return faults_.add(*found, fmt::format("{} is too short; {} is the least", found->scalar,
                                           format_duration(least)));
  }
  into = *value;
}

void MapReader::bytes(std::string_view name, Bytes& into, Bytes least, std::string_view zero) {
  const Node* found = scalar(name);
  if (found == nullptr) return;
  if (!zero.empty() && found->scalar == zero) {
    into = Bytes{0};
    return;
  }
  const auto value = parse_bytes(found->scalar);
  if (!value) return faults_.add(*found, value.error().detail);
  if (*value < least && (zero.empty() || value->count != 0)) {
    return faults_.add(*found, fmt::format("{} is too small; {} is the least", found->scalar,
                                           format_bytes(least)));
  }
  into = *value;
}

void MapReader::percent(std::string_view name, uint32_t& into, std::string_view zero) {
  const Node* found = scalar(name);
  if (found == nullptr) return;
  if (!zero.empty() && found->scalar == zero) {
    into = 0;
    return;
  }
  const auto value = parse_percent(found->scalar);
  if (value) {
    into = *value;
    return;
  }
  faults_.add(*found, fmt::format("{}{}{}", value.error().detail, zero.empty() ? "" : ", or ",
                                  zero));
}

void MapReader::texts(std::string_view name, std::vector<std::string>& into) {
  const Node* found = child(name);
  if (found == nullptr) return;
  std::vector<std::string> all;
  if (found->is_scalar()) all.push_back(found->scalar);
  if (found->is_map()) return faults_.add(*found, "is a map, a list is wanted: [a, b]");
  for (const auto& item : found->items) {
    if (item.is_scalar()) {
      all.push_back(item.scalar);
    } else {
      faults_.add(item, fmt::format("is {}, a single value is wanted", kind_of(item)));
    }
  }
  into = std::move(all);
}

void MapReader::texts(std::string_view name, std::map<std::string, std::string>& into) {
  const Node* found = child(name);
  if (found == nullptr) return;
  if (!found->is_map()) {
    return faults_.add(*found, fmt::format("is {}, a map is wanted", kind_of(*found)));
  }
  for (const auto& [key, value] : found->entries) {
    if (value.is_scalar()) {
      into[key] = value.scalar;
    } else {
      faults_.add(value, fmt::format("is {}, a single value is wanted", kind_of(value)));
    }
  }
}

int MapReader::choice(std::string_view name, std::vector<std::string_view> words,
                      std::vector<std::string_view> later) {
  const Node* found = scalar(name);
  if (log_ != nullptr) (*log_)[key_of(name)].assign(words.begin(), words.end());
  if (found == nullptr) return -1;
  const std::string& value = found->scalar;
  const auto word = std::find(words.begin(), words.end(), value);
  if (word != words.end()) return static_cast<int>(word - words.begin());
  if (std::find(later.begin(), later.end(), value) != later.end()) {
    faults_.add(*found, fmt::format("\"{}\" is not supported in this version; write {}", value,
                                    join(words, " or ")));
  } else {
    faults_.add(*found, fmt::format("\"{}\" is not one of {}", value, join(words, ", ")));
  }
  return -1;
}

void MapReader::enter(const Node& node, const ReadMap& read) {
  MapReader inner{node, faults_, log_};
  read(inner);
  inner.finish();
}

void MapReader::section(std::string_view name, const ReadMap& read) {
  const Node* found = child(name);
  if (log_ != nullptr) {
    Node empty;
    empty.key = key_of(name);
    return enter(empty, read);
  }
  if (found != nullptr) enter(*found, read);
}

void MapReader::sections(std::string_view name, const ReadMap& read) {
  const Node* found = child(name);
  if (log_ != nullptr) {
    Node empty;
    empty.key = key_of(name) + "[]";
    return enter(empty, read);
  }
  if (found == nullptr) return;
  if (!found->is_list()) {
    return faults_.add(*found, fmt::format("is {}, a list (- …) is wanted", kind_of(*found)));
  }
  for (const auto& item : found->items) enter(item, read);
}

void MapReader::named(std::string_view name, const ReadNamed& read) {
  const Node* found = child(name);
  if (log_ != nullptr) {
    Node empty;
    empty.key = key_of(name) + ".*";
    return enter(empty, [&read](MapReader& map) { read("name", map); });
  }
  if (found == nullptr) return;
  if (!found->is_map()) {
    return faults_.add(*found, fmt::format("is {}, a map (name: …) is wanted", kind_of(*found)));
  }
  for (const auto& entry : found->entries) {
    enter(entry.value, [&read, &entry](MapReader& map) { read(entry.name, map); });
  }
}

void MapReader::section_or_off(std::string_view name, std::string_view form, const ReadMap& read,
                               const std::function<void()>& off) {
  const Node* found = child(name);
  if (found == nullptr || !found->is_scalar()) return section(name, read);
  const auto flag = parse_flag(found->scalar);
  if (flag && !*flag) return off();
  faults_.add(*found, fmt::format("\"{}\" is neither off nor a map {}", found->scalar, form));
}

bool MapReader::values_or_sections(std::string_view name, std::string_view wanted,
                                   const ReadValue& value, const ReadMap& read) {
  const Node* found = child(name);
  if (log_ != nullptr) {
    Node empty;
    empty.key = key_of(name) + "[]";
    enter(empty, read);
  }
  if (found == nullptr) return true;
  if (found->is_map()) {
    faults_.add(*found, "is a map, a list is wanted: [a, b]");
    return false;
  }
  if (found->is_scalar()) {
    for_each_element(found->scalar, [found, &value](std::string_view element) {
      Node item = *found;
      item.scalar = element;
      value(item);
    });
  }
  bool all_read = true;
  for (const auto& item : found->items) {
    if (item.is_scalar()) {
      value(item);
    } else if (item.is_map()) {
      enter(item, read);
    } else {
      all_read = false;
      faults_.add(item, fmt::format("is {}; {} is wanted", kind_of(item), wanted));
    }
  }
  return all_read;
}

void MapReader::misplaced(std::string_view name, std::string_view where) {
  const Node* found = node_.find(name);
  if (found == nullptr) return;
  asked_.emplace_back(name);
  faults_.add(*found, fmt::format("does not stand here; write {}", where));
}

void MapReader::refuse(std::string_view name, std::string_view why) {
  const Node* found = node_.find(name);
  if (found == nullptr) return;
  asked_.emplace_back(name);
  faults_.add(*found, fmt::format("not supported in this version; {}", why));
}

void MapReader::finish() {
  std::vector<std::string_view> words;
  for (const auto& name : asked_) words.push_back(name);
  for (const auto& entry : node_.entries) {
    if (std::find(words.begin(), words.end(), entry.name) == words.end()) {
      faults_.add(entry.value, fmt::format("unknown key{}", suggest(entry.name, words)));
    }
  }
}

}  // namespace sluice::config
