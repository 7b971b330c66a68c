// Reads a configuration file and what it includes (`include: [other.yaml, conf.d/*.yaml]`) into one
// tree. Maps join key by key, top-level lists are appended (the including file's entries first),
// and a value given in two files is a fault. Paths are relative to the including file. How many,
// how deep and how large is bounded.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "proxy/config/expand.h"
#include "proxy/config/node.h"

namespace sluice::config {

// Nullopt when the file itself cannot be read (with a fault). `files` gets every file that was
// tried, and the patterns of includes as they are.
std::optional<Node> read_files(const std::string& path, const Environment& environment,
                               Faults& faults, std::vector<std::string>* files = nullptr);
// The same for text that is no file; an include is a fault.
std::optional<Node> read_text(const std::string& text, const std::string& name,
                              const Environment& environment, Faults& faults);

}  // namespace sluice::config
