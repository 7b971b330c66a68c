#include "proxy/config/diff.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "proxy/config/expand.h"
#include "proxy/config/include.h"

namespace sluice::config {
namespace {

constexpr std::string_view kEndpoints = "endpoints";

// On one line, as short as it can be read.
std::string written(const Node& node) {
  std::string out;
  switch (node.kind) {
    case Node::Kind::kNull: return "";
    case Node::Kind::kScalar: return node.scalar.empty() ? "\"\"" : node.scalar;
    case Node::Kind::kList:
      for (const Node& item : node.items) out += (out.empty() ? "" : ", ") + written(item);
      return "[" + out + "]";
    case Node::Kind::kMap:
      for (const auto& [name, value] : node.entries) {
        out += (out.empty() ? "" : ", ") + name + ": " + written(value);
      }
      return "{" + out + "}";
  }
  return out;
}

// What an item of a list is known by: a map's address or name, else what it says.
std::string identity(const Node& item) {
  for (const std::string_view key : {"address", "name"}) {
    if (const Node* found = item.find(key)) return found->scalar;
  }
  return written(item);
}

// The items of a list, or the entries of a map, each under the name it is known by.
using Named = std::vector<std::pair<std::string, const Node*>>;

Named named(const Node& node) {
  Named all;
  for (const Node& item : node.items) all.emplace_back(identity(item), &item);
  for (const auto& entry : node.entries) all.emplace_back(entry.name, &entry.value);
  return all;
}

const Node* find(const Named& all, const std::string& name) {
  const auto at =
      std::find_if(all.begin(), all.end(), [&name](const auto& one) { return one.first == name; });
  return at == all.end() ? nullptr : at->second;
}

std::string joined(const std::string& path, const std::string& key) {
  return path.empty() ? key : path + "." + key;
}

// Collects the changes of one subject.
class Comparison {
 public:
  Comparison(std::vector<Change>& changes, std::string section, std::string subject)
      : changes_(changes), section_(std::move(section)), subject_(std::move(subject)) {}

  void compare(const std::string& path, const Node& before, const Node& after) {
    if (before.is_map() && after.is_map()) return compare_entries(path, before, after);
    const bool lists =
        (before.is_list() || before.is_null()) && (after.is_list() || after.is_null());
    if (lists && path == kEndpoints) return compare_endpoints(before, after);
    if (written(before) != written(after)) add(path, written(before), written(after));
  }

 private:
  void compare_entries(const std::string& path, const Node& before, const Node& after) {
    static const Node nothing;
    for (const auto& [name, value] : after.entries) {
      const Node* was = before.find(name);
      compare(joined(path, name), was == nullptr ? nothing : *was, value);
    }
    for (const auto& [name, value] : before.entries) {
      if (after.find(name) == nullptr) compare(joined(path, name), value, nothing);
    }
  }

  void compare_endpoints(const Node& before, const Node& after) {
    const Named were = named(before);
    const Named are = named(after);
    const std::string key(kEndpoints);
    for (const auto& [name, endpoint] : are) {
      const Node* was = find(were, name);
      if (was == nullptr) {
        changes_.push_back({Change::Kind::kAdded, section_, subject_, key, "", written(*endpoint)});
      } else if (!(*was == *endpoint)) {
        add(key, written(*was), written(*endpoint));
      }
    }
    for (const auto& [name, endpoint] : were) {
      if (find(are, name) != nullptr) continue;
      changes_.push_back({Change::Kind::kRemoved, section_, subject_, key, written(*endpoint), ""});
    }
  }

  void add(const std::string& key, std::string before, std::string after) {
    changes_.push_back(
        {Change::Kind::kChanged, section_, subject_, key, std::move(before), std::move(after)});
  }

  std::vector<Change>& changes_;
  const std::string section_;
  const std::string subject_;
};

bool has_subjects(std::string_view section) {
  return section == "listeners" || section == "routes" || section == "upstreams";
}

// The first that matches a request's conditions counts, so the order says something.
void compare_order(const Named& before, const Named& after, std::vector<Change>& changes) {
  std::vector<std::string> were;
  std::vector<std::string> are;
  for (const auto& [name, route] : before) {
    if (find(after, name) != nullptr) were.push_back(name);
  }
  for (const auto& [name, route] : after) {
    if (find(before, name) != nullptr) are.push_back(name);
  }
  if (were == are) return;
  const auto text = [](const std::vector<std::string>& names) {
    std::string out;
    for (const std::string& name : names) out += (out.empty() ? "" : ", ") + name;
    return out;
  };
  changes.push_back({Change::Kind::kChanged, "routes", "", "order", text(were), text(are)});
}

void compare_subjects(const std::string& section, const Node& before, const Node& after,
                      std::vector<Change>& changes) {
  const Named were = named(before);
  const Named are = named(after);
  for (const auto& [name, subject] : are) {
    const Node* was = find(were, name);
    if (was == nullptr) {
      changes.push_back({Change::Kind::kAdded, section, name, "", "", written(*subject)});
    } else {
      Comparison(changes, section, name).compare("", *was, *subject);
    }
  }
  for (const auto& [name, subject] : were) {
    if (find(are, name) != nullptr) continue;
    changes.push_back({Change::Kind::kRemoved, section, name, "", written(*subject), ""});
  }
  if (section == "routes") compare_order(were, are, changes);
}

void compare_section(const std::string& section, const Node& before, const Node& after,
                     std::vector<Change>& changes) {
  if (has_subjects(section)) return compare_subjects(section, before, after, changes);
  Comparison(changes, section, "").compare("", before, after);
}

}  // namespace

Result<Node> tree_of(const std::string& dump) {
  Faults faults;
  const Environment nothing = [](std::string_view) { return std::optional<std::string>(); };
  auto root = read_text(dump, "configuration", nothing, faults);
  if (root && faults.empty()) return std::move(*root);
  const std::string why = faults.empty() ? "empty" : faults.lines().front();
  return fail(ErrorCode::kMalformed, Side::kUs, why);
}

std::vector<Change> diff(const Node& before, const Node& after) {
  static const Node nothing;
  std::vector<Change> changes;
  for (const auto& [section, value] : after.entries) {
    const Node* was = before.find(section);
    compare_section(section, was == nullptr ? nothing : *was, value, changes);
  }
  for (const auto& [section, value] : before.entries) {
    if (after.find(section) == nullptr) compare_section(section, value, nothing, changes);
  }
  return changes;
}

}  // namespace sluice::config
