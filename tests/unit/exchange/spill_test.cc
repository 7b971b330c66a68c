#include "proxy/exchange/spill.h"

#include <csignal>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>

#include <doctest/doctest.h>
#include <sys/resource.h>

#include "tests/unit/net/sockets.h"

using namespace sluice;
using namespace sluice::exchange;
using sluice::testing::Folder;

namespace {

Chain chain_of(std::string_view text) {
  Chain made;
  made.append_copy(text);
  return made;
}

std::string bytes_of(const SharedFile& file, uint64_t size) {
  std::string text(size, '?');
  const ssize_t got = ::pread(file->get(), text.data(), size, 0);
  text.resize(got < 0 ? 0 : static_cast<size_t>(got));
  return text;
}

// While it lives, files cannot grow beyond `most` (a full disk would say another number).
class SmallFiles {
 public:
  explicit SmallFiles(uint64_t most) : before_signal_(std::signal(SIGXFSZ, SIG_IGN)) {
    REQUIRE(::getrlimit(RLIMIT_FSIZE, &before_) == 0);
    rlimit small = before_;
    small.rlim_cur = most;
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
  }
  ~SmallFiles() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, before_signal_);
  }

 private:
  void (*const before_signal_)(int);
  rlimit before_{};
};

}  // namespace

TEST_CASE("spill: a budget gives what it has, and takes back") {
  SpillBudget budget("/tmp", 100);
  CHECK(budget.take(60));
  CHECK_FALSE(budget.take(41));
  CHECK(budget.used() == 60);
  CHECK(budget.take(40));
  CHECK_FALSE(budget.take(1));
  budget.give_back(60);
  CHECK(budget.used() == 40);
  budget.set_ceiling(40);  // a reload
  CHECK_FALSE(budget.take(1));
  budget.set_ceiling(50);
  CHECK(budget.take(10));
}

TEST_CASE("spill: a file keeps what was appended and has no name") {
  const Folder folder;
  SpillBudget budget(folder.path(), 1000);
  auto file = SpillFile::make(budget).value();
  REQUIRE(file.append(chain_of("first ")));
  Chain pieces = chain_of("se");
  pieces.append(chain_of("cond"));
  REQUIRE(file.append(pieces));
  CHECK(file.size() == 12);
  CHECK(bytes_of(file.file(), 100) == "first second");
  CHECK(std::filesystem::is_empty(folder.path()));
  CHECK(budget.used() == 12);
}

TEST_CASE("spill: the budget has its share back when the file is over, also a moved one") {
  const Folder folder;
  SpillBudget budget(folder.path(), 1000);
  SharedFile still_sent;
  {
    auto first = SpillFile::make(budget).value();
    REQUIRE(first.append(chain_of("12345")));
    const auto second = std::move(first);
    still_sent = second.file();
    CHECK(budget.used() == 5);
  }
  CHECK(budget.used() == 0);
  CHECK(bytes_of(still_sent, 5) == "12345");
}

TEST_CASE("spill: over the budget nothing is written") {
  const Folder folder;
  SpillBudget budget(folder.path(), 8);
  auto file = SpillFile::make(budget).value();
  REQUIRE(file.append(chain_of("12345")));
  const auto refused = file.append(chain_of("6789"));
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == ErrorCode::kOverloaded);
  CHECK(file.size() == 5);
  CHECK(budget.used() == 5);
  CHECK(file.append(chain_of("678")));
}

TEST_CASE("spill: a write that fails half-way leaves the file as it was") {
  const Folder folder;
  SpillBudget budget(folder.path(), 1000);
  auto file = SpillFile::make(budget).value();
  REQUIRE(file.append(chain_of("12345")));
  {
    const SmallFiles limit(8);
    CHECK_FALSE(file.append(chain_of("lost lost lost")));
    CHECK(file.size() == 5);
    CHECK(budget.used() == 5);
  }
  REQUIRE(file.append(chain_of("67")));
  CHECK(bytes_of(file.file(), 7) == "1234567");
}

TEST_CASE("spill: a folder that is not there is a failure with its name") {
  const Folder folder;
  SpillBudget budget(folder / "missing", 1000);
  const auto file = SpillFile::make(budget);
  REQUIRE_FALSE(file);
  CHECK(file.error().detail.find(folder / "missing") != std::string::npos);
}
