// Any text as a configuration: it loads or is refused with reasons, and what loads can be
// printed and read back as the same. Files are neither included nor looked for.
#include <cstdint>
#include <string>

#include "proxy/base/assert.h"
#include "proxy/config/dump.h"
#include "proxy/config/load.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sluice::config;
  Options options;
  options.check_files = false;
  options.environment = [](std::string_view name) -> std::optional<std::string> {
    if (name == "SET") return "value, {with: structure}";
    return std::nullopt;
  };
  const std::string text{reinterpret_cast<const char*>(data), size};
  const Loaded loaded = load_text(text, "fuzz.yaml", options);
  SLUICE_ASSERT((loaded.config != nullptr) == loaded.faults.empty());
  if (loaded.config == nullptr) return 0;
  const std::string printed = dump(*loaded.config);
  const Loaded again = load_text(printed, "dump.yaml", options);
  SLUICE_ASSERT(again.config != nullptr);
  SLUICE_ASSERT(dump(*again.config) == printed);
  return 0;
}
