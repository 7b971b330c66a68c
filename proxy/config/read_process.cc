// What concerns the whole process: workers, admin, metrics, drain, logs, ceilings.
#include <charconv>
#include <cmath>

#include <fmt/format.h>
#include <sys/un.h>

#include "proxy/config/readers.h"

namespace sluice::config {
namespace {

constexpr size_t kMostBuckets = 64;  // each is a series per route

void read_admin(MapReader& map, Admin& into) {
  const Node* found = map.scalar("socket");
  if (found == nullptr) return;
  if (found->scalar == "off") {
    into.socket.clear();
    return;
  }
  into.socket = found->scalar;
  check_absolute(map, "socket", into.socket);
  if (into.socket.size() >= sizeof(sockaddr_un::sun_path)) {
    map.fault("socket", fmt::format("has {} bytes, the system allows {} for a socket's path",
                                    into.socket.size(), sizeof(sockaddr_un::sun_path) - 1));
  }
}

void read_buckets(MapReader& map, std::vector<double>& into) {
  const auto items = read_items(map, "buckets");
  if (items.empty()) return;
  if (items.size() > kMostBuckets) {
    return map.fault("buckets", fmt::format("are {}; {} is the most", items.size(), kMostBuckets));
  }
  std::vector<double> buckets;
  for (const auto& item : items) {
    double value = 0;
    const char* end = item.scalar.data() + item.scalar.size();
    const auto [stopped, error] = std::from_chars(item.scalar.data(), end, value);
    if (error != std::errc{} || stopped != end || !std::isfinite(value) || value <= 0) {
      map.faults().add(
          item, fmt::format("\"{}\" is no number of seconds above 0, as in 0.25", item.scalar));
    } else if (!buckets.empty() && value <= buckets.back()) {
      map.faults().add(item,
                       fmt::format("{} does not rise above the bucket before it", item.scalar));
    } else {
      buckets.push_back(value);
    }
  }
  into = std::move(buckets);
}

void read_metrics(MapReader& map, Metrics& into) {
  const Node* address = map.child("address");
  if (address != nullptr && address->is_scalar() && address->scalar == "off") {
    into.address.reset();
  } else {
    read_address(map, "address", AddressUse::kListen, *into.address);
  }
  read_buckets(map, into.buckets);
}

void read_access_log(MapReader& map, AccessLog& into) {
  const int format = map.choice("format", {"json", "combined", "off"});
  if (format >= 0) into.format = static_cast<LogFormat>(format);
  map.text("path", into.path);
  check_absolute(map, "path", into.path);
  map.bytes("buffer", into.buffer, 16_KiB);
}

void read_log(MapReader& map, Log& into) {
  const int level = map.choice("level", {"debug", "info", "warning", "error"});
  if (level >= 0) into.level = static_cast<LogLevel>(level);
  map.text("path", into.path);
  check_absolute(map, "path", into.path);
}

}  // namespace

void read_process(MapReader& map, Config& into) {
  map.number("workers", into.workers, 1, 1024, "auto");
  map.section("admin", [&into](MapReader& m) { read_admin(m, into.admin); });
  map.section("metrics", [&into](MapReader& m) { read_metrics(m, into.metrics); });
  map.section("drain", [&into](MapReader& m) {
    m.duration("min", into.drain.min);
    m.duration("quiet", into.drain.quiet);
    m.duration("max", into.drain.max);
    m.duration("deadline", into.drain.deadline);
    m.duration("tunnels", into.drain.tunnels);
  });
  map.section("access_log", [&into](MapReader& m) { read_access_log(m, into.access_log); });
  map.section("log", [&into](MapReader& m) { read_log(m, into.log); });
  map.section("limits", [&into](MapReader& m) {
    m.number("connections", into.limits.connections, 1, 10'000'000, "auto");
    m.bytes("spill", into.limits.spill);
    m.bytes("memory", into.limits.memory, 1_MiB, "auto");
    m.number("in_flight", into.limits.in_flight, 1, 10'000'000, "off");
    m.number("clients", into.limits.clients, 1024, 16'777'216);
  });
  map.section("spill", [&into](MapReader& m) {
    m.text("folder", into.spill_folder);
    check_absolute(m, "folder", into.spill_folder);
  });
}

}  // namespace sluice::config
