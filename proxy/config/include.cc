#include "proxy/config/include.h"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <iterator>
#include <set>
#include <system_error>
#include <vector>

#include <fcntl.h>
#include <fmt/format.h>
#include <fnmatch.h>
#include <unistd.h>

#include "proxy/base/fd.h"

namespace sluice::config {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMostFiles = 256;
constexpr size_t kMostDepth = 8;
constexpr size_t kLargestFile = 16 << 20;
constexpr size_t kBudget = 256 << 20;  // of the whole tree in memory

Result<std::string> read_file(const std::string& path) {
  const Fd file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (!file.is_open()) return fail_errno(errno, Side::kUs, "open");
  std::string text;
  for (;;) {
    char part[16384];
    const ssize_t count = ::read(file.get(), part, sizeof part);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail_errno(errno, Side::kUs, "read");
    if (count == 0) return text;
    text.append(part, static_cast<size_t>(count));
    if (text.size() > kLargestFile) return fail(ErrorCode::kTooLarge, Side::kUs, "too large");
  }
}

Node* find_entry(Node& node, const std::string& name) {
  for (auto& entry : node.entries) {
    if (entry.name == name) return &entry.value;
  }
  return nullptr;
}

bool is_pattern(const std::string& path) { return path.find_first_of("*?[") != std::string::npos; }

// One load: the files read so far and the way down to the current one.
class FileReader {
 public:
  FileReader(const Environment& environment, Faults& faults)
      : environment_(environment), faults_(faults) {}

  std::optional<Node> read(const fs::path& path, const Node* wanted_by) {
    files_.push_back(path.string());
    auto text = read_file(path.string());
    if (!text) {
      const auto why = fmt::format("cannot be read: {}", text.error().detail);
      if (wanted_by != nullptr) {
        faults_.add(*wanted_by, fmt::format("\"{}\" {}", path.string(), why));
      } else {
        faults_.add(path.string(), 0, "", why);
      }
      return std::nullopt;
    }
    auto root = parse(*text, path.string());
    if (root) follow_includes(*root, path);
    return root;
  }

  std::vector<std::string> take_files() { return std::move(files_); }

  std::optional<Node> parse(const std::string& text, const std::string& name) {
    auto root = parse_yaml(text, name, budget_, faults_);
    if (!root) return std::nullopt;
    if (!root->is_map() && !root->is_null()) {
      faults_.add(*root, "a configuration is a map (listeners: …)");
      return std::nullopt;
    }
    expand(*root, environment_, faults_);
    return root;
  }

  // Takes the entry out, so that nobody after us has to know it.
  std::optional<Node> take_include(Node& root) {
    const auto found = std::find_if(root.entries.begin(), root.entries.end(),
                                    [](const Node::Entry& e) { return e.name == "include"; });
    if (found == root.entries.end()) return std::nullopt;
    Node include = std::move(found->value);
    root.entries.erase(found);
    return include;
  }

 private:
  void follow_includes(Node& root, const fs::path& path) {
    const auto include = take_include(root);
    std::error_code error;
    const auto here = fs::weakly_canonical(path, error).string();
    way_.push_back(here);
    seen_.insert(here);
    if (include) {
      for (const auto* item : files_of(*include)) {
        for (const auto& file : matches(*item, path.parent_path())) visit(root, file, *item);
      }
    }
    way_.pop_back();
  }

  std::vector<const Node*> files_of(const Node& include) {
    std::vector<const Node*> files;
    if (include.is_scalar()) files.push_back(&include);
    if (include.is_map()) faults_.add(include, "is a map, a list of files is wanted: [a.yaml]");
    for (const auto& item : include.items) {
      if (item.is_scalar()) {
        files.push_back(&item);
      } else {
        faults_.add(item, "is not the name of a file");
      }
    }
    return files;
  }

  // The files an include names, sorted. An empty folder of snippets is well, a missing file is not.
  std::vector<fs::path> matches(const Node& item, const fs::path& folder) {
    const fs::path wanted = folder / item.scalar;
    if (!is_pattern(item.scalar)) return {wanted};
    if (is_pattern(wanted.parent_path().string())) {
      faults_.add(item, "has a pattern in its folder; only the name of the file may be one");
      return {};
    }
    files_.push_back(wanted.string());
    std::vector<fs::path> found;
    std::error_code error;
    const auto place = wanted.parent_path().empty() ? fs::path{"."} : wanted.parent_path();
    for (fs::directory_iterator it{place, error}, end; !error && it != end; it.increment(error)) {
      const auto name = it->path().filename().string();
      if (::fnmatch(wanted.filename().c_str(), name.c_str(), FNM_PERIOD) != 0) continue;
      if (found.size() > kMostFiles) break;  // visit() says so
      found.push_back(wanted.parent_path() / name);
    }
    if (error) faults_.add(item, fmt::format("cannot be listed: {}", error.message()));
    std::sort(found.begin(), found.end());
    return found;
  }

  void visit(Node& root, const fs::path& file, const Node& item) {
    std::error_code error;
    const auto canonical = fs::weakly_canonical(file, error).string();
    if (std::find(way_.begin(), way_.end(), canonical) != way_.end()) {
      return faults_.add(item, fmt::format("\"{}\" includes itself in the end", file.string()));
    }
    if (way_.size() > kMostDepth) {
      return faults_.add(item, fmt::format("includes go deeper than {} files", kMostDepth));
    }
    if (!seen_.insert(canonical).second) {
      return faults_.add(item, fmt::format("\"{}\" is included twice", file.string()));
    }
    if (seen_.size() > kMostFiles) {
      return faults_.add(item, fmt::format("includes more than {} files", kMostFiles));
    }
    // A pipe or a device would keep us waiting.
    if (fs::exists(file, error) && !fs::is_regular_file(file, error)) {
      return faults_.add(item, fmt::format("\"{}\" is no regular file", file.string()));
    }
    if (auto other = read(file, &item)) join(root, std::move(*other), true);
  }

  void join(Node& into, Node&& from, bool top) {
    for (auto& entry : from.entries) {
      Node* own = find_entry(into, entry.name);
      if (own == nullptr) {
        into.kind = Node::Kind::kMap;
        into.entries.push_back(std::move(entry));
      } else if (own->is_null()) {
        *own = std::move(entry.value);
      } else if (own->is_map() && entry.value.is_map()) {
        join(*own, std::move(entry.value), false);
      } else if (top && own->is_list() && entry.value.is_list()) {
        std::move(entry.value.items.begin(), entry.value.items.end(),
                  std::back_inserter(own->items));
      } else if (!entry.value.is_null()) {
        faults_.add(entry.value, fmt::format("also given in {}:{}; keep one of them", own->file,
                                             own->line));
      }
    }
  }

  const Environment& environment_;
  Faults& faults_;
  size_t budget_ = kBudget;
  std::vector<std::string> way_;  // canonical paths; at most kMostDepth + 1
  std::set<std::string> seen_;    // canonical paths; at most kMostFiles + 1
  std::vector<std::string> files_;  // bounded as seen_ is, and by the size of the files
};

}  // namespace

std::optional<Node> read_files(const std::string& path, const Environment& environment,
                               Faults& faults, std::vector<std::string>* files) {
  FileReader reader{environment, faults};
  auto root = reader.read(path, nullptr);
  if (files != nullptr) *files = reader.take_files();
  if (root) name_keys(*root);
  return root;
}

std::optional<Node> read_text(const std::string& text, const std::string& name,
                              const Environment& environment, Faults& faults) {
  FileReader reader{environment, faults};
  auto root = reader.parse(text, name);
  if (!root) return std::nullopt;
  if (const auto include = reader.take_include(*root)) {
    faults.add(*include, "only files include others: there is no folder to look in");
  }
  return root;
}

}  // namespace sluice::config
