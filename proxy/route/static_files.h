// StaticFiles: answers a request out of a file tree: which file the path names (index, try_files),
// in which encoding, and what to say when there is none. Part of a const Route, shared by all
// workers. For a small file it costs openat2, fstat, pread and close; for a large one, sendfile
// comes later.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/base/clock.h"
#include "proxy/config/config.h"
#include "proxy/http/message.h"
#include "proxy/route/file_answer.h"
#include "proxy/route/file_tree.h"

namespace sluice::route {

struct FileRequest {
  const http::RequestHead& head;  // method, conditions, ranges; the target, for redirects
  std::string_view path;          // what follows the route's prefix, normalised: "" or "/..."
  std::string_view full_path;     // the whole of it, for listings
  TimePoint now;
  // By X-Accel-Redirect: the client's target says nothing about the path, and a POST that led here
  // is answered like a GET.
  bool is_internal = false;
};

class StaticFiles {
 public:
  // Requires: `config` outlives this. Opens the root. Control thread.
  explicit StaticFiles(const config::StaticFiles& config);

  FileAnswer answer(const FileRequest& request) const;

  // False as long as the root is missing: worth a warning, not an error (it may be mounted later).
  bool is_root_there() const { return tree_.is_there(); }

 private:
  // One entry of try_files: `head` + path + `tail`, or only `head`.
  struct Try {
    std::string head;
    bool has_path = false;
    std::string tail;
    bool is_folder = false;  // "$path/"
  };
  enum class Outcome : uint8_t {
    kMissing,
    kFile,
    kRedirect,
    kListing,
    kForbidden,
    kTrouble,
    kBusy
  };
  struct Found {
    Outcome outcome = Outcome::kMissing;
    OpenFile file;  // kFile; for kListing the folder
  };

  static Try parse_try(std::string_view entry);
  Found find(const FileRequest& request, TreePath& path) const;
  Found find_entry(const Try& entry, std::string_view wanted, bool& is_absent,
                   TreePath& path) const;
  Found find_in_folder(TreePath& path) const;
  Found open(const TreePath& path) const;
  bool is_refused_as_hidden(std::string_view path) const;

  FileAnswer present(Found&& found, const FileRequest& request, TreePath& path) const;
  FileAnswer list(Found&& found, const FileRequest& request, bool is_head) const;
  FileAnswer missing(int status) const;
  std::string_view type_of(std::string_view file_name) const;
  // Exchanges the file for a better packed one. True when it might have been.
  bool choose_encoding(const http::Headers& request, TreePath& path, OpenFile& file,
                       Presentation& how) const;

  // Fixed at birth.
  const config::StaticFiles& config_;
  std::map<std::string, std::string, std::less<>> types_;  // lower case, without the dot
  std::vector<Try> tries_;
  FileTree tree_;
};

}  // namespace sluice::route
