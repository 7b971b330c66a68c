#include "proxy/config/load.h"

#include <fmt/format.h>

#include "proxy/config/check.h"
#include "proxy/config/flags.h"
#include "proxy/config/include.h"
#include "proxy/config/readers.h"

namespace sluice::config {
namespace {

// FNV-1a, 64 bits, over what the tree says (not over comments and spaces): equal configurations
// have equal hashes on every machine.
class Hash {
 public:
  void add(const Node& node) {
    add(static_cast<char>('0' + static_cast<int>(node.kind)));
    add(node.scalar);
    for (const auto& item : node.items) add(item);
    for (const auto& entry : node.entries) {
      add(entry.name);
      add(entry.value);
    }
    add('\x04');
  }
  std::string hex() const { return fmt::format("{:016x}", state_); }

 private:
  void add(std::string_view text) {
    for (const char c : text) add(c);
    add('\0');
  }
  void add(char c) {
    state_ ^= static_cast<unsigned char>(c);
    state_ *= 0x100000001b3;
  }
  uint64_t state_ = 0xcbf29ce484222325;
};

Loaded build(const Node& root, const Options& options, Faults& faults) {
  auto config = std::make_shared<Config>();
  const Scene scene{options.filters, options.check_files};
  MapReader map{root, faults};
  read_config(map, scene, *config);
  map.finish();
  Faults notes;
  check(root, *config, faults, notes);
  name_routes(config->routes);
  Hash hash;
  hash.add(root);
  config->hash = hash.hex();
  faults.sort();
  notes.sort();
  Loaded loaded{nullptr, faults.lines(), notes.lines(), {}};
  if (faults.empty()) loaded.config = std::move(config);
  return loaded;
}

Loaded build(const std::optional<Node>& root, const Options& options, Faults& faults) {
  if (root) return build(*root, options, faults);
  faults.sort();
  return {nullptr, faults.lines(), {}, {}};
}

}  // namespace

Loaded load_file(const std::string& path, const Options& options) {
  Faults faults;
  std::vector<std::string> files;
  Loaded loaded = build(read_files(path, options.environment, faults, &files), options, faults);
  loaded.files = std::move(files);
  return loaded;
}

Loaded load_text(const std::string& text, const std::string& name, const Options& options) {
  Faults faults;
  return build(read_text(text, name, options.environment, faults), options, faults);
}

Loaded from_flags(const Flags& flags, const Options& options) {
  Faults faults;
  return build(tree_of(flags, faults), options, faults);
}

KeyLog describe_keys() {
  KeyLog log;
  Faults faults;
  Config config;
  const Node nothing;
  MapReader map{nothing, faults, &log};
  read_config(map, Scene{}, config);
  return log;
}

}  // namespace sluice::config
