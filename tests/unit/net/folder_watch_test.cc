#include "proxy/net/folder_watch.h"

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "tests/unit/net/rounds.h"
#include "tests/unit/net/sockets.h"

using namespace sluice;
using namespace sluice::testing;

namespace {

struct Ear final : net::FolderEvents {
  void on_path_changed(const std::string& path) override { heard.push_back(path); }
  std::vector<std::string> heard;
};

void touch(const std::string& path) {
  std::ofstream(path) << "x";
}

}  // namespace

TEST_CASE("folder watch: tells of a path that is made, moved there and removed, of no other") {
  Rounds rounds;
  const Folder folder;
  Ear ear;
  net::FolderWatch watch(rounds.loop(), ear);
  const std::string path = folder / "app.sock";
  if (!watch.add(path)) return;  // no inotify here
  CHECK(watch.add(path));
  touch(folder / "other");
  touch(path);
  REQUIRE(rounds.until([&] { return !ear.heard.empty(); }));
  CHECK(ear.heard == std::vector<std::string>{path});
  std::filesystem::remove(path);
  REQUIRE(rounds.until([&] { return ear.heard.size() == 2; }));
  std::filesystem::rename(folder / "other", path);
  REQUIRE(rounds.until([&] { return ear.heard.size() == 3; }));
  CHECK(ear.heard.back() == path);
}

TEST_CASE("folder watch: what was removed is not heard of") {
  Rounds rounds;
  const Folder folder;
  Ear ear;
  net::FolderWatch watch(rounds.loop(), ear);
  if (!watch.add(folder / "a") || !watch.add(folder / "b")) return;
  watch.remove(folder / "a");
  touch(folder / "a");
  touch(folder / "b");
  REQUIRE(rounds.until([&] { return !ear.heard.empty(); }));
  CHECK(ear.heard == std::vector<std::string>{folder / "b"});
  watch.remove(folder / "b");
  touch(folder / "c");
  rounds.settle();
  CHECK(ear.heard.size() == 1);
}

TEST_CASE("folder watch: a folder that is not there, and one that goes") {
  Rounds rounds;
  const Folder folder;
  Ear ear;
  net::FolderWatch watch(rounds.loop(), ear);
  CHECK_FALSE(watch.add(folder / "none/app.sock"));
  std::filesystem::create_directory(folder / "some");
  const std::string path = folder / "some/app.sock";
  if (!watch.add(path)) return;
  std::filesystem::remove(folder / "some");
  REQUIRE(rounds.until([&] { return !ear.heard.empty(); }));
  std::filesystem::create_directory(folder / "some");
  CHECK(watch.add(path));
  const size_t before = ear.heard.size();
  touch(path);
  CHECK(rounds.until([&] { return ear.heard.size() > before; }));
}
