#include "proxy/server/cpus.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <fstream>
#include <optional>
#include <sstream>
#include <vector>

#include "proxy/base/text.h"

namespace sluice::server {
namespace {

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// This process's folder in a controller's hierarchy, from /proc/self/cgroup ("0::/x" or
// "4:cpu,…:/x").
std::string group_of(const std::string& root, std::string_view controller) {
  std::ifstream file(root + "/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const auto first = line.find(':');
    const auto second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const auto controllers = std::string_view(line).substr(first + 1, second - first - 1);
    const bool found = controller.empty() ? controllers.empty() : list_has(controllers, controller);
    if (found) return line.substr(second + 1);
  }
  return "/";
}

// The folder itself and all above it, down to the mount: a quota may sit on any of them. Within a
// container's cgroup namespace the path may not exist; then the mount's root is the container's
// group.
std::vector<std::string> folders(const std::string& mount, std::string path) {
  std::vector<std::string> all;
  while (path.size() > 1) {
    all.push_back(mount + path);
    path.resize(path.rfind('/'));
  }
  all.push_back(mount);
  return all;
}

std::optional<double> quota_v2(const std::string& folder) {
  std::istringstream words(first_line(folder + "/cpu.max"));
  std::string quota;
  double period = 0;
  if (!(words >> quota >> period) || quota == "max" || period <= 0) return std::nullopt;
  const auto value = parse_decimal(quota);
  if (!value) return std::nullopt;
  return static_cast<double>(*value) / period;
}

std::optional<double> quota_v1(const std::string& folder) {
  const auto quota = parse_decimal(first_line(folder + "/cpu.cfs_quota_us"));
  const auto period = parse_decimal(first_line(folder + "/cpu.cfs_period_us"));
  if (!quota || !period || *period == 0) return std::nullopt;  // -1: none
  return static_cast<double>(*quota) / static_cast<double>(*period);
}

}  // namespace

unsigned usable_cpus(const std::string& root, unsigned affinity) {
  double most = affinity;
  for (const auto& folder : folders(root + "/sys/fs/cgroup", group_of(root, ""))) {
    if (const auto quota = quota_v2(folder)) most = std::min(most, *quota);
  }
  for (const auto& folder : folders(root + "/sys/fs/cgroup/cpu", group_of(root, "cpu"))) {
    if (const auto quota = quota_v1(folder)) most = std::min(most, *quota);
  }
  return std::clamp(static_cast<unsigned>(std::ceil(most)), 1U, std::max(affinity, 1U));
}

unsigned usable_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  const bool known = sched_getaffinity(0, sizeof set, &set) == 0;
  const auto affinity = known ? CPU_COUNT(&set) : static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
  return usable_cpus("", static_cast<unsigned>(std::max(affinity, 1)));
}

uint64_t usable_memory(const std::string& root) {
  auto most =
      static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  for (const auto& folder : folders(root + "/sys/fs/cgroup", group_of(root, ""))) {
    if (const auto limit = parse_decimal(first_line(folder + "/memory.max")))
      most = std::min(most, *limit);
  }
  for (const auto& folder : folders(root + "/sys/fs/cgroup/memory", group_of(root, "memory"))) {
    const auto limit = parse_decimal(first_line(folder + "/memory.limit_in_bytes"));
    if (limit) most = std::min(most, *limit);
  }
  return most;
}

}  // namespace sluice::server
