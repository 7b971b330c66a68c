#include "proxy/config/node.h"

#include <algorithm>
#include <sstream>
#include <unordered_map>

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

namespace sluice::config {
namespace {

constexpr size_t kMostDepth = 64;     // everything that walks a tree may recurse
constexpr size_t kNodeCost = 64;      // of the budget, besides the node's own text

size_t cost_of(const Node& node, size_t ceiling) {
  size_t cost = kNodeCost + node.scalar.size();
  for (const auto& item : node.items) {
    if (cost > ceiling) return cost;
    cost += cost_of(item, ceiling);
  }
  for (const auto& entry : node.entries) {
    if (cost > ceiling) return cost;
    cost += entry.name.size() + cost_of(entry.value, ceiling);
  }
  return cost;
}

size_t depth_of(const Node& node) {
  size_t depth = 0;
  for (const auto& item : node.items) depth = std::max(depth, depth_of(item));
  for (const auto& entry : node.entries) depth = std::max(depth, depth_of(entry.value));
  return depth + 1;
}

// Puts a Node together from what the parser meets. What cannot be used at all is thrown the way the
// library throws, and caught in parse_yaml().
class TreeBuilder final : public YAML::EventHandler {
 public:
  TreeBuilder(const std::string& file, size_t& budget, Faults& faults)
      : file_(file), budget_(budget), faults_(faults) {}

  Node take_root() { return std::move(root_); }

 private:
  struct Frame {
    Node node;
    YAML::anchor_t anchor = 0;
    std::string name;                            // of the entry being read, in a map
    int name_line = 0;
    bool has_name = false;
    std::unordered_map<std::string, int> names;  // in a map: where each was first
  };

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    put(start(Node::Kind::kNull, mark), anchor, mark);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end()) throw YAML::ParserException(mark, "an alias within its anchor");
    spend(cost_of(found->second, budget_), mark);
    if (stack_.size() + depth_of(found->second) > kMostDepth) too_deep(mark);
    put(Node{found->second}, 0, mark);
  }

  void OnScalar(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                const std::string& value) override {
    if (value.find('\0') != std::string::npos) throw YAML::ParserException(mark, "a NUL character");
    if (!stack_.empty() && stack_.back().node.is_map() && !stack_.back().has_name) {
      return begin_entry(value, mark);
    }
    Node node = start(Node::Kind::kScalar, mark);
    node.scalar = value;
    spend(value.size(), mark);
    put(std::move(node), anchor, mark);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    push(Node::Kind::kList, anchor, mark);
  }
  void OnSequenceEnd() override { pop(); }

  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    push(Node::Kind::kMap, anchor, mark);
  }
  void OnMapEnd() override { pop(); }

  void spend(size_t cost, const YAML::Mark& mark) {
    if (cost > budget_) throw YAML::ParserException(mark, "the configuration is too large");
    budget_ -= cost;
  }

  [[noreturn]] void too_deep(const YAML::Mark& mark) {
    throw YAML::ParserException(mark, fmt::format("nested deeper than {} levels", kMostDepth));
  }

  Node start(Node::Kind kind, const YAML::Mark& mark) {
    spend(kNodeCost, mark);
    Node node;
    node.kind = kind;
    node.file = file_;
    node.line = mark.line + 1;
    // A map or list begins at its first entry, a null nowhere: people look for the key.
    if (kind != Node::Kind::kScalar && !stack_.empty() && stack_.back().has_name) {
      node.line = stack_.back().name_line;
    }
    return node;
  }

  void push(Node::Kind kind, YAML::anchor_t anchor, const YAML::Mark& mark) {
    if (stack_.size() >= kMostDepth) too_deep(mark);
    if (!stack_.empty() && stack_.back().node.is_map() && !stack_.back().has_name) {
      throw YAML::ParserException(mark, "a key must be plain text");
    }
    Node node = start(kind, mark);
    stack_.emplace_back();
    stack_.back().node = std::move(node);
    stack_.back().anchor = anchor;
  }

  void pop() {
    Frame frame = std::move(stack_.back());
    stack_.pop_back();
    put(std::move(frame.node), frame.anchor, YAML::Mark::null_mark());
  }

  void begin_entry(const std::string& name, const YAML::Mark& mark) {
    Frame& frame = stack_.back();
    spend(name.size(), mark);
    frame.name = name;
    frame.name_line = mark.line + 1;
    frame.has_name = true;
  }

  void put(Node&& node, YAML::anchor_t anchor, const YAML::Mark& mark) {
    if (anchor != 0) {
      spend(cost_of(node, budget_), mark);
      anchors_[anchor] = node;
    }
    if (stack_.empty()) {
      root_ = std::move(node);
      return;
    }
    Frame& frame = stack_.back();
    if (frame.node.is_list()) {
      frame.node.items.push_back(std::move(node));
      return;
    }
    if (!frame.has_name) throw YAML::ParserException(mark, "a key must be plain text");
    frame.has_name = false;
    const auto [first, is_new] = frame.names.try_emplace(frame.name, frame.name_line);
    if (is_new) {
      frame.node.entries.push_back({frame.name, std::move(node)});
      return;
    }
    faults_.add(file_, frame.name_line, path_here(),
                fmt::format("given twice, first in line {}; keep one of them", first->second));
  }

  // The key being read, from the frames: names are only given to nodes when the tree is whole.
  std::string path_here() const {
    std::string path;
    for (const auto& frame : stack_) {
      if (frame.node.is_list()) {
        path += fmt::format("[{}]", frame.node.items.size());
      } else {
        path += (path.empty() ? "" : ".") + frame.name;
      }
    }
    return path;
  }

  const std::string& file_;
  size_t& budget_;
  Faults& faults_;
  Node root_;
  std::vector<Frame> stack_;                        // at most kMostDepth
  std::unordered_map<YAML::anchor_t, Node> anchors_;  // paid for from the budget
};

void name_below(Node& node) {
  for (size_t i = 0; i < node.items.size(); ++i) {
    node.items[i].key = fmt::format("{}[{}]", node.key, i);
    name_below(node.items[i]);
  }
  for (auto& [name, value] : node.entries) {
    value.key = node.key.empty() ? name : node.key + "." + name;
    name_below(value);
  }
}

}  // namespace

const Node* Node::find(std::string_view name) const {
  for (const auto& entry : entries) {
    if (entry.name == name) return &entry.value;
  }
  return nullptr;
}

bool Node::operator==(const Node& other) const {
  const auto same_entry = [](const Entry& a, const Entry& b) {
    return a.name == b.name && a.value == b.value;
  };
  return kind == other.kind && scalar == other.scalar && items == other.items &&
         std::equal(entries.begin(), entries.end(), other.entries.begin(), other.entries.end(),
                    same_entry);
}

void Faults::add(const Node& at, std::string_view what) { add(at.file, at.line, at.key, what); }

void Faults::add(std::string_view file, int line, std::string_view key, std::string_view what) {
  if (lines_.size() > kMost) return;
  if (lines_.size() == kMost) {
    lines_.emplace_back("more faults follow; these first");
    spots_.push_back({"\xff", 0});  // sorts last
    return;
  }
  std::string text{file};
  if (line > 0) text += fmt::format(":{}", line);
  if (!text.empty()) text += ": ";
  if (!key.empty()) text += fmt::format("{}: ", key);
  lines_.push_back(text.append(what));
  spots_.push_back({std::string{file}, line});
}

void Faults::sort() {
  std::vector<size_t> order(lines_.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [this](size_t a, size_t b) {
    return std::tie(spots_[a].file, spots_[a].line) < std::tie(spots_[b].file, spots_[b].line);
  });
  std::vector<std::string> lines;
  std::vector<Spot> spots;
  for (const size_t i : order) {
    lines.push_back(std::move(lines_[i]));
    spots.push_back(std::move(spots_[i]));
  }
  lines_ = std::move(lines);
  spots_ = std::move(spots);
}

std::optional<Node> parse_yaml(const std::string& text, const std::string& file, size_t& budget,
                               Faults& faults) {
  try {
    std::istringstream stream{text};
    YAML::Parser parser{stream};
    TreeBuilder builder{file, budget, faults};
    if (!parser.HandleNextDocument(builder)) {
      Node nothing;
      nothing.file = file;
      nothing.line = 1;
      return nothing;
    }
    Node root = builder.take_root();
    TreeBuilder rest{file, budget, faults};
    if (parser.HandleNextDocument(rest)) {
      faults.add(file, 0, "",
                 "goes on after its end: a second document (---), or a slip of indentation");
    }
    name_keys(root);
    return root;
  } catch (const YAML::Exception& error) {
    const bool brackets = text.find("[::") != std::string::npos;
    faults.add(file, error.mark.line + 1, "",
               fmt::format("not valid YAML: {}{}", error.msg,
                           brackets ? " (brackets need quotes: \"[::]:8080\")" : ""));
  } catch (const std::exception& error) {
    faults.add(file, 0, "", fmt::format("not valid YAML: {}", error.what()));
  }
  return std::nullopt;
}

void name_keys(Node& node) { name_below(node); }

}  // namespace sluice::config
