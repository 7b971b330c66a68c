// TempTree: a folder of its own for a test, gone with it.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include <fcntl.h>
#include <sys/stat.h>

namespace sluice::route {

class TempTree {
 public:
  TempTree() {
    std::string name = (std::filesystem::temp_directory_path() / "sluice-route-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  TempTree(const TempTree&) = delete;
  TempTree& operator=(const TempTree&) = delete;
  ~TempTree() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  std::string path(std::string_view name = {}) const { return path_ + "/" + std::string{name}; }
  void write(std::string_view name, std::string_view text, time_t modified = 1700000000) const {
    const std::filesystem::path file = path(name);
    std::filesystem::create_directories(file.parent_path());
    std::ofstream{file, std::ios::binary} << text;
    set_time(name, modified);
  }
  void set_time(std::string_view name, time_t modified) const {
    const struct timespec times[2] = {{modified, 0}, {modified, 0}};
    ::utimensat(AT_FDCWD, path(name).c_str(), times, 0);
  }
  void link(std::string_view name, std::string_view target) const {
    std::filesystem::create_symlink(std::string{target}, path(name));
  }

 private:
  std::string path_;
};

}  // namespace sluice::route
