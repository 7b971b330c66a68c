#include "proxy/route/file_tree.h"

#include <cerrno>
#include <cstring>
#include <limits>
#include <utility>

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "proxy/base/assert.h"

namespace sluice::route {
namespace {

constexpr auto kLookEvery = std::chrono::seconds(1);
// O_NONBLOCK: a FIFO without a writer must not make a worker wait.
constexpr int kFlags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
// EAGAIN: a rename somewhere raced with a lookup that met ".." in a link.
constexpr int kMostRaces = 4;

int openat2(int folder, const char* path, uint64_t flags, uint64_t resolve) {
  struct open_how how {};
  how.flags = flags;
  how.resolve = resolve;
  return static_cast<int>(::syscall(SYS_openat2, folder, path, &how, sizeof how));
}

// Where a descriptor's file is now; empty when that cannot be said.
std::string real_path(int fd) {
  char target[TreePath::kMost];
  const std::string link = "/proc/self/fd/" + std::to_string(fd);
  const ssize_t size = ::readlink(link.c_str(), target, sizeof target);
  if (size <= 0 || static_cast<size_t>(size) == sizeof target) return {};
  return {target, static_cast<size_t>(size)};
}

bool is_beneath(std::string_view path, std::string_view folder) {
  if (folder.empty() || path.substr(0, folder.size()) != folder) return false;
  return folder == "/" || path.size() == folder.size() || path[folder.size()] == '/';
}

}  // namespace

bool TreePath::append(std::string_view text) {
  if (text.size() >= kMost - size_ || text.find('\0') != std::string_view::npos) return false;
  std::memcpy(text_ + size_, text.data(), text.size());
  size_ += text.size();
  text_[size_] = '\0';
  return true;
}

void TreePath::truncate(size_t size) {
  SLUICE_ASSERT(size <= size_);
  size_ = size;
  text_[size_] = '\0';
}

FileTree::Lookup FileTree::probe() {
  const Fd fd{openat2(AT_FDCWD, ".", O_PATH | O_CLOEXEC, RESOLVE_NO_MAGICLINKS)};
  return fd.is_open() || errno == EACCES || errno == ENOENT ? Lookup::kOpenat2 : Lookup::kWalk;
}

// An eventfd keeps the number until there is a folder: lookups below it fail with ENOTDIR.
FileTree::FileTree(std::string root, bool follow_symlinks, Lookup lookup)
    : root_(std::move(root)),
      follow_symlinks_(follow_symlinks),
      lookup_(lookup),
      folder_(::eventfd(0, EFD_CLOEXEC)),
      next_look_(std::numeric_limits<int64_t>::min()) {
  adopt_root();
}

void FileTree::adopt_root() const {
  const Fd fresh{::open(root_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)};
  struct stat status {};
  if (!fresh.is_open() || ::fstat(fresh.get(), &status) != 0) return;
  if (::dup3(fresh.get(), folder_.get(), O_CLOEXEC) < 0) return;
  root_device_.store(status.st_dev, std::memory_order_relaxed);
  root_inode_.store(status.st_ino, std::memory_order_relaxed);
}

void FileTree::refresh(TimePoint now) const {
  const int64_t tick = now.time_since_epoch().count();
  int64_t next = next_look_.load(std::memory_order_relaxed);
  if (tick < next) return;
  const int64_t later = (now + kLookEvery).time_since_epoch().count();
  if (!next_look_.compare_exchange_strong(next, later, std::memory_order_relaxed)) return;
  struct stat status {};
  // Gone for the moment: the old folder serves on.
  if (::stat(root_.c_str(), &status) != 0) return;
  const bool same = status.st_dev == root_device_.load(std::memory_order_relaxed) &&
                    status.st_ino == root_inode_.load(std::memory_order_relaxed);
  if (!same) adopt_root();
}

tl::expected<Fd, int> FileTree::open(const TreePath& path) const {
  const char* const name = path.size() == 0 ? "." : path.c_str();
  if (lookup_ == Lookup::kOpenat2) return open_beneath(name);
  return follow_symlinks_ ? open_followed(name) : open_walking(path.view());
}

tl::expected<Fd, int> FileTree::open_beneath(const char* path) const {
  uint64_t resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  if (!follow_symlinks_) resolve |= RESOLVE_NO_SYMLINKS;
  for (int race = 0;; ++race) {
    const int fd = openat2(folder_.get(), path, kFlags, resolve);
    if (fd >= 0) return Fd{fd};
    if ((errno != EAGAIN && errno != EINTR) || race == kMostRaces) return tl::unexpected(errno);
  }
}

// One component at a time, so that no link is met on the way. A trailing slash asks for a folder.
tl::expected<Fd, int> FileTree::open_walking(std::string_view path) const {
  Fd held;
  int at = folder_.get();
  TreePath name;
  for (;;) {
    const auto slash = path.find('/');
    const auto component = path.substr(0, slash);
    const bool last = slash == std::string_view::npos;
    if (component == "." || component == "..") return tl::unexpected(EXDEV);
    name.truncate(0);
    if (!name.append(component)) return tl::unexpected(ENAMETOOLONG);
    const int flags = (last ? kFlags : O_PATH | O_DIRECTORY | O_CLOEXEC) | O_NOFOLLOW;
    Fd next{::openat(at, component.empty() ? "." : name.c_str(), flags)};
    if (!next.is_open()) return tl::unexpected(errno);
    if (last) return next;
    held = std::move(next);
    at = held.get();
    path.remove_prefix(slash + 1);
  }
}

// Looks with O_PATH, which touches nothing; what was found is only opened if it lies in the root.
tl::expected<Fd, int> FileTree::open_followed(const char* path) const {
  const Fd found{::openat(folder_.get(), path, O_PATH | O_CLOEXEC)};
  if (!found.is_open()) return tl::unexpected(errno);
  if (!is_beneath(real_path(found.get()), real_path(folder_.get()))) return tl::unexpected(EXDEV);
  const std::string link = "/proc/self/fd/" + std::to_string(found.get());
  Fd file{::open(link.c_str(), kFlags)};
  if (!file.is_open()) return tl::unexpected(errno);
  return file;
}

}  // namespace sluice::route
