#include "proxy/route/file_tree.h"

#include <doctest/doctest.h>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <string>

#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/route/temp_tree.h"

using namespace sluice;
using namespace sluice::route;
using namespace std::chrono_literals;

namespace {

// The file's text, or "errno 2".
std::string read(const FileTree& tree, std::string_view path) {
  TreePath name;
  if (!name.append(path)) return "does not fit";
  auto fd = tree.open(name);
  if (!fd) return "errno " + std::to_string(fd.error());
  char text[256];
  const ssize_t size = ::read(fd->get(), text, sizeof text);
  if (size < 0) return errno == EISDIR ? "folder" : "unreadable";
  return {text, static_cast<size_t>(size)};
}

std::string error(int number) {
  return "errno " + std::to_string(number);
}

struct Site {
  TempTree temp;
  Site() {
    temp.write("www/file.txt", "file");
    temp.write("www/sub/a.txt", "in sub");
    temp.write("secret.txt", "SECRET");
    temp.write("www-private/s.txt", "SECRET");
    temp.link("www/out.txt", "../secret.txt");
    temp.link("www/absolute.txt", temp.path("secret.txt"));
    temp.link("www/outer", "..");
    temp.link("www/inner.txt", "sub/a.txt");
    temp.link("www/inner", "sub");
    temp.link("www/loop", "loop");
  }
  std::string root() const { return temp.path("www"); }
};

constexpr FileTree::Lookup kBoth[] = {FileTree::Lookup::kOpenat2, FileTree::Lookup::kWalk};

}  // namespace

TEST_CASE("file tree: files and folders below the root open, by either lookup") {
  const Site site;
  for (const auto lookup : kBoth) {
    for (const bool follow : {false, true}) {
      CAPTURE(int{lookup == FileTree::Lookup::kWalk});
      CAPTURE(follow);
      const FileTree tree{site.root(), follow, lookup};
      CHECK(tree.is_there());
      CHECK(read(tree, "file.txt") == "file");
      CHECK(read(tree, "sub/a.txt") == "in sub");
      CHECK(read(tree, "sub") == "folder");
      CHECK(read(tree, "sub/") == "folder");
      CHECK(read(tree, "") == "folder");
      CHECK(read(tree, "none.txt") == error(ENOENT));
      CHECK(read(tree, "file.txt/") == error(ENOTDIR));
      CHECK(read(tree, "file.txt/x") == error(ENOTDIR));
      CHECK(read(tree, std::string(300, 'a')) == error(ENAMETOOLONG));
    }
  }
}

TEST_CASE("file tree: nothing leads out of the root") {
  const Site site;
  for (const auto lookup : kBoth) {
    for (const bool follow : {false, true}) {
      CAPTURE(int{lookup == FileTree::Lookup::kWalk});
      CAPTURE(follow);
      const FileTree tree{site.root(), follow, lookup};
      for (const auto* path :
           {"../secret.txt", "sub/../../secret.txt", "out.txt", "absolute.txt", "outer/secret.txt",
            "../www-private/s.txt", "/etc/passwd", "..", "loop"}) {
        CAPTURE(path);
        CHECK(read(tree, path).substr(0, 5) == "errno");
      }
    }
  }
}

TEST_CASE("file tree: links inside the root are followed only when asked for") {
  const Site site;
  for (const auto lookup : kBoth) {
    const FileTree strict{site.root(), false, lookup};
    CHECK(read(strict, "inner.txt") == error(ELOOP));
    CHECK(read(strict, "inner/a.txt").substr(0, 5) == "errno");
    const FileTree following{site.root(), true, lookup};
    CHECK(read(following, "inner.txt") == "in sub");
    CHECK(read(following, "inner/a.txt") == "in sub");
  }
}

TEST_CASE("file tree: a FIFO is opened without waiting for its writer") {
  const Site site;
  REQUIRE(::mkfifo(site.temp.path("www/pipe").c_str(), 0600) == 0);
  for (const auto lookup : kBoth) {
    const FileTree tree{site.root(), false, lookup};
    CHECK(read(tree, "pipe").empty());
  }
}

TEST_CASE("file tree: a root that is moved by a link is noticed within a second") {
  const TempTree temp;
  temp.write("v1/x", "one");
  temp.write("v2/x", "two");
  temp.link("now", "v1");
  const FileTree tree{temp.path("now"), false};
  TimePoint now{};
  tree.refresh(now);
  CHECK(read(tree, "x") == "one");
  std::filesystem::remove(temp.path("now"));
  temp.link("now", "v2");
  tree.refresh(now + 900ms);
  CHECK(read(tree, "x") == "one");
  tree.refresh(now + 1s);
  CHECK(read(tree, "x") == "two");
}

TEST_CASE("file tree: a root made anew, and one that comes later, are found") {
  const TempTree temp;
  TimePoint now{};
  const FileTree tree{temp.path("late"), false};
  CHECK_FALSE(tree.is_there());
  CHECK(read(tree, "x") == error(ENOTDIR));
  tree.refresh(now);
  temp.write("late/x", "here");
  tree.refresh(now += 2s);
  CHECK(tree.is_there());
  CHECK(read(tree, "x") == "here");

  std::filesystem::rename(temp.path("late"), temp.path("old"));
  tree.refresh(now += 2s);
  CHECK(read(tree, "x") == "here");  // gone for the moment: the old one serves on
  temp.write("late/x", "anew");
  tree.refresh(now += 2s);
  CHECK(read(tree, "x") == "anew");
}

TEST_CASE("tree path: holds what a path may hold, and no more") {
  TreePath path;
  CHECK(path.append("a/"));
  CHECK_FALSE(path.append(std::string_view{"x\0y", 3}));
  CHECK(path.view() == "a/");
  CHECK(path.append(std::string(TreePath::kMost - 3, 'b')));
  CHECK_FALSE(path.append("c"));
  CHECK(path.size() == TreePath::kMost - 1);
  CHECK(path.c_str()[path.size()] == '\0');
  path.truncate(1);
  CHECK(path.view() == "a");
}
