// Load: a configuration file, a text, or a few flags become a Config, or a list of everything that
// is wrong. All or nothing: there is a config exactly when there are no faults. Pure but for the
// files that are named; nothing is bound or opened for longer than the call. Any thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "proxy/config/config.h"
#include "proxy/config/expand.h"
#include "proxy/config/filter_check.h"
#include "proxy/config/flags.h"
#include "proxy/config/node.h"

namespace sluice::config {

struct Loaded {
  std::shared_ptr<const Config> config;  // null when there are faults
  std::vector<std::string> faults;       // "gateway.yaml:14: routes[2].host: …", by file and line
  std::vector<std::string> notes;        // works, but hardly as meant
  std::vector<std::string> files;        // that were read, or would be: includes and their patterns
};

struct Options {
  Environment environment = process_environment;
  const FilterCheck* filters = nullptr;  // null: any filter is taken as it is
  bool check_files = true;               // false: folders need not be there
};

Loaded load_file(const std::string& path, const Options& options = {});
// `name` stands in messages where a file's would. No includes.
Loaded load_text(const std::string& text, const std::string& name, const Options& options = {});

// The form without a file; the same defaults, the same faults.
Loaded from_flags(const Flags& flags, const Options& options = {});

// All keys there are, for the test that compares them with conf/schema.json.
KeyLog describe_keys();

}  // namespace sluice::config
