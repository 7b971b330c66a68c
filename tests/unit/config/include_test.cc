#include "proxy/config/include.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include <doctest/doctest.h>

#include "proxy/config/dump.h"
#include "tests/unit/config/loading.h"

namespace sluice::config {
namespace {

namespace fs = std::filesystem;

// A folder of files that is gone with the test.
class Folder {
 public:
  Folder() {
    std::string name = (fs::temp_directory_path() / "sluice-config-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~Folder() { fs::remove_all(path_); }

  std::string write(const std::string& name, const std::string& text) const {
    const fs::path path = path_ / name;
    fs::create_directories(path.parent_path());
    std::ofstream{path} << text;
    return path.string();
  }
  Loaded load(const std::string& name = "main.yaml") const {
    return load_file((path_ / name).string(), options());
  }
  // The only fault, without the folder's name.
  std::string fault(const std::string& name = "main.yaml") const {
    std::string text = config::fault(load(name));
    const std::string prefix = path_.string() + "/";
    for (size_t at = text.find(prefix); at != std::string::npos; at = text.find(prefix)) {
      text.erase(at, prefix.size());
    }
    return text;
  }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

constexpr const char* kListener = "listeners: [ { address: \":0\" } ]\n";
constexpr const char* kUpstream = "upstreams: { app: { endpoints: [ \"127.0.0.1:1\" ] } }\n";
constexpr const char* kRoute = "routes: [ { path: /, upstream: app } ]\n";

}  // namespace

TEST_CASE("include: maps join, lists are appended, own entries first") {
  Folder folder;
  folder.write("main.yaml",
               std::string{"include: [up.yaml, conf.d/*.yaml]\n"} + kListener + kRoute);
  folder.write("up.yaml", std::string{kUpstream} + "log: { level: debug }\n");
  folder.write("conf.d/b.yaml",
               "routes: [ { path: /b, upstream: b } ]\n"
               "upstreams: { b: { endpoints: [ \"127.0.0.1:2\" ] } }\nlog: { path: /x }\n");
  folder.write("conf.d/a.yaml", "routes: [ { path: /a, upstream: app } ]\n");
  folder.write("conf.d/ignored.txt", "][");
  folder.write("conf.d/.hidden.yaml", "][");
  const auto loaded = folder.load();
  CAPTURE(fault(loaded));
  REQUIRE(loaded.config);
  REQUIRE(loaded.config->routes.size() == 3);
  CHECK(loaded.config->routes[0].path == "/");
  CHECK(loaded.config->routes[1].path == "/a");
  CHECK(loaded.config->routes[2].path == "/b");
  CHECK(loaded.config->routes[2].place.file == (folder.path() / "conf.d/b.yaml").string());
  CHECK(loaded.config->upstreams.size() == 2);
  CHECK(loaded.config->log.level == LogLevel::kDebug);
  CHECK(loaded.config->log.path == "/x");
}

TEST_CASE("include: faults name the file they are in") {
  Folder folder;
  folder.write("main.yaml",
               std::string{"include: conf.d/a.yaml\n"} + kListener + kUpstream + kRoute);
  folder.write("conf.d/a.yaml", "\n\nroutes: [ { path: /a, upstraem: app } ]\n");
  const auto loaded = folder.load();
  REQUIRE(loaded.faults.size() == 2);
  CHECK(loaded.faults[0].find("conf.d/a.yaml:3: routes[1]: does nothing") != std::string::npos);
  CHECK(loaded.faults[1].find("conf.d/a.yaml:3: routes[1].upstraem: unknown key, did you mean "
                              "\"upstream\"?") != std::string::npos);
}

TEST_CASE("include: one value in two files is a fault") {
  Folder folder;
  folder.write("main.yaml", std::string{"include: [a.yaml]\nworkers: 2\n"} + kListener + kUpstream +
                                kRoute);
  folder.write("a.yaml", "workers: 3\n");
  CHECK(folder.fault() == "a.yaml:1: workers: also given in main.yaml:2; keep one of them");
}

TEST_CASE("include: a missing file is a fault, an empty folder is not") {
  Folder folder;
  folder.write("main.yaml", std::string{"include: [none.yaml]\n"} + kListener + kUpstream + kRoute);
  CHECK(folder.fault() ==
        "main.yaml:1: include[0]: \"none.yaml\" cannot be read: open: No such file or directory");
  folder.write("empty/x.txt", "");
  folder.write("main.yaml",
               std::string{"include: [empty/*.yaml]\n"} + kListener + kUpstream + kRoute);
  CHECK(folder.load().config);
  folder.write("main.yaml",
               std::string{"include: [away/*.yaml]\n"} + kListener + kUpstream + kRoute);
  CHECK(folder.fault().find("main.yaml:1: include[0]: cannot be listed") == 0);
}

TEST_CASE("include: cycles, repetitions, folders and depth are told") {
  Folder folder;
  const std::string rest = std::string{kListener} + kUpstream + kRoute;
  folder.write("main.yaml", "include: [a.yaml]\n" + rest);
  folder.write("a.yaml", "include: [sub/../main.yaml]\n");
  CHECK(folder.fault() == "a.yaml:1: include[0]: \"sub/../main.yaml\" includes itself in the end");
  folder.write("a.yaml", "log: { level: info }\n");
  folder.write("main.yaml", "include: [a.yaml, ./a.yaml]\n" + rest);
  CHECK(folder.fault() == "main.yaml:1: include[1]: \"./a.yaml\" is included twice");
  fs::create_directory(folder.path() / "d");
  folder.write("main.yaml", "include: [d]\n" + rest);
  CHECK(folder.fault() == "main.yaml:1: include[0]: \"d\" is no regular file");
  folder.write("main.yaml", "include: [\"*/a.yaml\"]\n" + rest);
  CHECK(folder.fault().find("has a pattern in its folder") != std::string::npos);
  folder.write("main.yaml", "include: [c0.yaml]\n" + rest);
  for (int i = 0; i < 12; ++i) {
    folder.write("c" + std::to_string(i) + ".yaml",
                 "include: [c" + std::to_string(i + 1) + ".yaml]\n");
  }
  CHECK(folder.fault() == "c7.yaml:1: include[0]: includes go deeper than 8 files");
}

TEST_CASE("include: a file that cannot be read at all") {
  Folder folder;
  CHECK(folder.fault("none.yaml") == "none.yaml: cannot be read: open: No such file or directory");
  CHECK(fault("include: [x.yaml]\n" + with_top("")).find("only files include others") !=
        std::string::npos);
}

TEST_CASE("hash: the same for the same values, wherever they stand") {
  Folder folder;
  const std::string whole = std::string{kListener} + kRoute + kUpstream;
  folder.write("main.yaml", whole);
  const auto one = folder.load();
  folder.write("main.yaml", "# comment\n\n" + whole);
  const auto other = folder.load();
  folder.write("main.yaml", std::string{"include: up.yaml\n"} + kListener + kRoute);
  folder.write("up.yaml", kUpstream);
  const auto split = folder.load();
  folder.write("main.yaml", "workers: 2\n" + whole);
  const auto changed = folder.load();
  REQUIRE((one.config && other.config && split.config && changed.config));
  CHECK(one.config->hash.size() == 16);
  CHECK(one.config->hash == other.config->hash);
  CHECK(one.config->hash == split.config->hash);
  CHECK(one.config->hash != changed.config->hash);
}

}  // namespace sluice::config
