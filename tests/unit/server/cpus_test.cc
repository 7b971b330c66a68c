#include "proxy/server/cpus.h"

#include <filesystem>
#include <fstream>
#include <string>

#include <doctest/doctest.h>

#include "tests/unit/net/sockets.h"

using namespace sluice;
using server::usable_cpus;
using server::usable_memory;

namespace {

// A root with /proc and /sys of the test's own.
struct Root {
  void write(const std::string& path, const std::string& text) const {
    const std::filesystem::path file = folder.path() + path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text << "\n";
  }
  void v2(const std::string& group, const std::string& max) const {
    write("/sys/fs/cgroup" + group + "/cpu.max", max);
  }
  void v1(const std::string& group, const std::string& quota, const std::string& period) const {
    write("/sys/fs/cgroup/cpu" + group + "/cpu.cfs_quota_us", quota);
    write("/sys/fs/cgroup/cpu" + group + "/cpu.cfs_period_us", period);
  }
  void group(const std::string& lines) const { write("/proc/self/cgroup", lines); }
  unsigned cpus(unsigned affinity = 8) const { return usable_cpus(folder.path(), affinity); }
  uint64_t memory() const { return usable_memory(folder.path()); }
  testing::Folder folder;
};

}  // namespace

TEST_CASE("cpus: with no quota, the affinity") {
  const Root root;
  CHECK(root.cpus() == 8);
  CHECK(root.cpus(1) == 1);
  CHECK(root.cpus(0) == 1);
  root.group("0::/");
  root.v2("", "max 100000");
  CHECK(root.cpus() == 8);
}

TEST_CASE("cpus: a quota of cgroup v2, rounded up") {
  const Root root;
  root.group("0::/");
  root.v2("", "25000 100000");
  CHECK(root.cpus() == 1);
  root.v2("", "150000 100000");
  CHECK(root.cpus() == 2);
  root.v2("", "200000 100000");
  CHECK(root.cpus() == 2);
  root.v2("", "400000 50000");
  CHECK(root.cpus(16) == 8);
  CHECK(root.cpus(3) == 3);
}

TEST_CASE("cpus: a quota of a group above counts, too") {
  const Root root;
  root.group("0::/task/container");
  root.v2("/task/container", "max 100000");
  root.v2("/task", "300000 100000");
  root.v2("", "max 100000");
  CHECK(root.cpus() == 3);
  root.v2("/task/container", "100000 100000");
  CHECK(root.cpus() == 1);
}

TEST_CASE("cpus: within a namespace the group's own path is not there; the mount's root is it") {
  const Root root;
  root.group("0::/docker/0123abcd");
  root.v2("", "200000 100000");
  CHECK(root.cpus() == 2);
}

TEST_CASE("cpus: a quota of cgroup v1") {
  const Root root;
  root.group("5:memory:/ecs/x\n4:cpu,cpuacct:/ecs/task\n3:cpuset:/other");
  root.v1("/ecs/task", "-1", "100000");
  CHECK(root.cpus() == 8);
  root.v1("/ecs/task", "250000", "100000");
  CHECK(root.cpus() == 3);
  root.v1("/ecs", "50000", "100000");
  CHECK(root.cpus() == 1);
}

TEST_CASE("cpus: another controller's group is not the cpu's") {
  const Root root;
  root.group("3:cpuset:/wrong\n4:cpu:/right");
  root.v1("/wrong", "100000", "100000");
  root.v1("/right", "400000", "100000");
  CHECK(root.cpus() == 4);
}

TEST_CASE("cpus: files that say nonsense say nothing") {
  const Root root;
  root.group("no colons here\n0::/x");
  for (const char* text : {"", "max", "abc 100000", "100000", "100000 0", "-5 100000", "1e9 x"}) {
    CAPTURE(text);
    root.v2("/x", text);
    CHECK(root.cpus() == 8);
  }
  root.v1("", "100000", "0");
  CHECK(root.cpus() == 8);
}

TEST_CASE("cpus: a quota of nothing is still one") {
  const Root root;
  root.group("0::/");
  root.v2("", "0 100000");
  CHECK(root.cpus() == 1);
}

TEST_CASE("cpus: of this process, at least one") {
  CHECK(usable_cpus() >= 1);
  CHECK(usable_memory() > 0);
}

TEST_CASE("memory: the smallest limit of either version, on any level") {
  const Root root;
  root.group("0::/task/app\n5:memory:/ecs/task");
  const uint64_t machine = root.memory();
  CHECK(machine > 1 << 20);
  root.write("/sys/fs/cgroup/task/app/memory.max", "max");
  CHECK(root.memory() == machine);
  root.write("/sys/fs/cgroup/task/memory.max", "1048576");
  CHECK(root.memory() == 1048576);
  root.write("/sys/fs/cgroup/memory/ecs/task/memory.limit_in_bytes", "524288");
  CHECK(root.memory() == 524288);
  root.write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712");
  CHECK(root.memory() == 524288);
}
