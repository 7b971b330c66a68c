// How many CPUs this process may really use: the smallest of its affinity, its cgroup's quota (v2
// and v1, all ancestors), rounded up, at least 1. Never simply what the machine has: a container
// with a quarter of a CPU would be throttled by its own threads. Reads files; control thread, at
// start.
#pragma once

#include <string>

namespace sluice::server {

unsigned usable_cpus();
// For tests: the cgroup file systems and /proc lie below `root`.
unsigned usable_cpus(const std::string& root, unsigned affinity);
// Bytes of memory this container may use: the cgroup's limit or the machine's memory.
uint64_t usable_memory(const std::string& root = "");

}  // namespace sluice::server
