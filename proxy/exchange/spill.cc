#include "proxy/exchange/spill.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <utility>

#include "proxy/base/assert.h"

namespace sluice::exchange {

bool SpillBudget::take(uint64_t size) {
  const uint64_t before = used_.fetch_add(size, std::memory_order_relaxed);
  if (before + size <= ceiling_.load(std::memory_order_relaxed)) return true;
  give_back(size);
  return false;
}

Result<SpillFile> SpillFile::make(SpillBudget& budget) {
  // O_TMPFILE where the file system has it: never a name, nothing to clean up after a crash.
  Fd fd(::open(budget.folder().c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!fd.is_open() && (errno == EOPNOTSUPP || errno == EISDIR || errno == ENOENT)) {
    std::string path = budget.folder() + "/sluice-spill-XXXXXX";
    fd = Fd(::mkostemp(path.data(), O_CLOEXEC));
    if (fd.is_open()) ::unlink(path.c_str());
  }
  if (!fd.is_open()) return fail_errno(errno, Side::kUs, "spill file in " + budget.folder());
  return SpillFile(budget, std::make_shared<const Fd>(std::move(fd)));
}

SpillFile::SpillFile(SpillFile&& other) noexcept
    : budget_(std::exchange(other.budget_, nullptr)),
      file_(std::move(other.file_)),
      size_(std::exchange(other.size_, 0)) {}

SpillFile::~SpillFile() {
  if (budget_ != nullptr) budget_->give_back(size_);
}

Status SpillFile::append(const Chain& bytes) {
  if (!budget_->take(bytes.size())) {
    return fail(ErrorCode::kOverloaded, Side::kUs, "all spill files together are at their ceiling");
  }
  uint64_t written = 0;
  for (size_t i = 0; i < bytes.piece_count(); ++i) {
    std::string_view rest = bytes.piece(i).view();
    SLUICE_ASSERT(!bytes.piece(i).is_file());
    while (!rest.empty()) {
      const ssize_t n =
          ::pwrite(file_->get(), rest.data(), rest.size(), static_cast<off_t>(size_ + written));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) {
        const int number = n < 0 ? errno : ENOSPC;
        budget_->give_back(bytes.size());
        return fail_errno(number, Side::kUs, "write spill file in " + budget_->folder());
      }
      written += static_cast<uint64_t>(n);
      rest.remove_prefix(static_cast<size_t>(n));
    }
  }
  size_ += written;
  return {};
}

}  // namespace sluice::exchange
