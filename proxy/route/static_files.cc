#include "proxy/route/static_files.h"

#include <cerrno>
#include <utility>

#include <sys/stat.h>

#include "proxy/base/text.h"
#include "proxy/http/mime.h"
#include "proxy/route/listing.h"
#include "proxy/route/precompressed.h"

namespace sluice::route {
namespace {

using http::HeaderId;

constexpr std::string_view kPath = "$path";
constexpr std::string_view kAllowed = "GET, HEAD, OPTIONS";

bool is_folder_name(std::string_view path) {
  return path.empty() || path.back() == '/';
}

std::string_view without_slash(std::string_view path) {
  if (!path.empty() && path.front() == '/') path.remove_prefix(1);
  return path;
}

// RFC 9110 §9.3.7, §15.5.6: any other method than GET and HEAD.
FileAnswer answer_method(const http::RequestHead& head) {
  FileAnswer answer = bare_answer(head.is("OPTIONS") ? 204 : 405);
  answer.head.headers.add_in_place(HeaderId::kAllow, http::name_of(HeaderId::kAllow), kAllowed);
  return answer;
}

// The raw target again with a slash behind its path. Two slashes (or a backslash) in front would be
// another host's address to a browser ("//evil.example/").
FileAnswer redirect_to_folder(const http::RequestHead& head) {
  FileAnswer answer = bare_answer(301);
  auto path = head.target.substr(0, head.target.find('?'));
  const auto query = head.target.substr(path.size());
  while (path.size() > 1 && (path[1] == '/' || path[1] == '\\')) path.remove_prefix(1);
  std::string location{path};
  location.append("/").append(query);
  answer.head.headers.add(HeaderId::kLocation, location);
  return answer;
}

}  // namespace

StaticFiles::StaticFiles(const config::StaticFiles& config)
    : config_(config), tree_(config.root, config.follow_symlinks) {
  for (const auto& [extension, type] : config.types) {
    const bool dotted = !extension.empty() && extension.front() == '.';
    types_[to_lower(std::string_view{extension}.substr(dotted ? 1 : 0))] = type;
  }
  if (config.try_files.empty()) {
    tries_ = {parse_try("$path"), parse_try("$path/")};
  } else {
    for (const auto& entry : config.try_files) tries_.push_back(parse_try(entry));
  }
}

StaticFiles::Try StaticFiles::parse_try(std::string_view entry) {
  Try parsed;
  const auto at = entry.find(kPath);
  parsed.head = without_slash(entry.substr(0, at));
  if (at == std::string_view::npos) return parsed;
  parsed.has_path = true;
  parsed.tail = entry.substr(at + kPath.size());
  parsed.is_folder = parsed.tail == "/";
  return parsed;
}

FileAnswer StaticFiles::answer(const FileRequest& request) const {
  tree_.refresh(request.now);
  const auto& head = request.head;
  const bool reads = request.is_internal || head.is("GET") || head.is("HEAD");
  // Without a fallback no file has to be looked for to say no.
  if (!reads && config_.fallback.empty()) return answer_method(head);
  TreePath path;
  Found found = find(request, path);
  if (!reads) {
    return found.outcome == Outcome::kFile ? answer_method(head) : missing(404);
  }
  switch (found.outcome) {
    case Outcome::kMissing:
      return missing(404);
    case Outcome::kForbidden:
      return missing(403);
    case Outcome::kTrouble:
      return bare_answer(500);
    case Outcome::kBusy:
      return bare_answer(503);
    case Outcome::kRedirect:
      return request.is_internal ? missing(404) : redirect_to_folder(head);
    case Outcome::kListing:
      return list(std::move(found), request, head.is("HEAD"));
    case Outcome::kFile:
      break;
  }
  return present(std::move(found), request, path);
}

FileAnswer StaticFiles::missing(int status) const {
  if (config_.fallback.empty()) return bare_answer(status);
  FileAnswer answer;
  answer.is_fallback = true;
  return answer;
}

// The first entry of try_files that names something; what was refused on the way counts only when
// nothing else is there.
StaticFiles::Found StaticFiles::find(const FileRequest& request, TreePath& path) const {
  const auto wanted = without_slash(request.path);
  const bool refused = is_refused_as_hidden(wanted);
  // "/static" asks for the root without its slash: a folder, known before any look at the disk.
  const bool bare_root = request.path.empty();
  bool is_absent = false;  // nothing of that name: no folder either
  Found worst;
  for (const Try& entry : tries_) {
    if (entry.has_path && refused) continue;
    if (bare_root && entry.is_folder) return {Outcome::kRedirect, {}};
    Found found = find_entry(entry, wanted, is_absent, path);
    switch (found.outcome) {
      case Outcome::kMissing:
        break;
      case Outcome::kForbidden:
        worst.outcome = Outcome::kForbidden;
        break;
      default:
        return found;
    }
  }
  return worst;
}

StaticFiles::Found StaticFiles::find_entry(const Try& entry, std::string_view wanted,
                                           bool& is_absent, TreePath& path) const {
  path.truncate(0);
  if (!entry.has_path) {
    if (!path.append(entry.head)) return {};
    return is_folder_name(path.view()) ? find_in_folder(path) : open(path);
  }
  const bool asks_for_folder = is_folder_name(wanted);
  if (!path.append(entry.head) || !path.append(wanted)) return {};
  if (entry.is_folder) {
    if (asks_for_folder) return find_in_folder(path);
    if (is_absent) return {};
    Found found = open(path);
    if (found.outcome == Outcome::kListing) found.outcome = Outcome::kRedirect;
    return found.outcome == Outcome::kFile ? Found{} : std::move(found);
  }
  // A folder is no file, and "about/" + ".html" names nothing that was meant.
  if (asks_for_folder && (entry.tail.empty() || entry.tail.front() != '/')) return {};
  if (!path.append(entry.tail)) return {};
  Found found = open(path);
  if (entry.head.empty() && entry.tail.empty()) is_absent = found.outcome == Outcome::kMissing;
  return found.outcome == Outcome::kListing ? Found{} : std::move(found);
}

// Requires: `path` is empty or ends with a slash.
StaticFiles::Found StaticFiles::find_in_folder(TreePath& path) const {
  const size_t folder = path.size();
  for (const auto& name : config_.index) {
    if (!path.append(name)) continue;
    Found found = open(path);
    if (found.outcome == Outcome::kFile || found.outcome >= Outcome::kForbidden) return found;
    path.truncate(folder);
  }
  Found found = open(path);
  // It is there, but not to be looked into.
  if (found.outcome == Outcome::kListing && !config_.listing) return {Outcome::kForbidden, {}};
  return found;
}

// kFile, kListing for a folder, or why not.
StaticFiles::Found StaticFiles::open(const TreePath& path) const {
  auto fd = tree_.open(path);
  if (!fd) {
    switch (fd.error()) {
      case EACCES:
      case EPERM:
        return {Outcome::kForbidden, {}};
      case EMFILE:
      case ENFILE:
        return {Outcome::kBusy, {}};
      case EIO:
      case ENOMEM:
        return {Outcome::kTrouble, {}};
      // ENOENT, ENOTDIR, ENAMETOOLONG; ELOOP: a link; EXDEV: out of the root; ENXIO: a socket.
      default:
        return {};
    }
  }
  Found found;
  found.file.fd = std::move(*fd);
  if (::fstat(found.file.fd.get(), &found.file.status) != 0) return {Outcome::kTrouble, {}};
  const auto mode = found.file.status.st_mode;
  if (S_ISREG(mode)) found.outcome = Outcome::kFile;
  if (S_ISDIR(mode)) found.outcome = Outcome::kListing;
  return found;
}

bool StaticFiles::is_refused_as_hidden(std::string_view path) const {
  if (config_.hidden) return false;
  return (!path.empty() && path.front() == '.') || path.find("/.") != std::string_view::npos;
}

std::string_view StaticFiles::type_of(std::string_view file_name) const {
  const auto extension = http::extension_of(file_name);
  if (!types_.empty()) {
    const auto own = types_.find(to_lower(extension));
    if (own != types_.end()) return own->second;
  }
  const auto type = http::mime_type_of(extension);
  return type.empty() ? http::kDefaultMimeType : type;
}

FileAnswer StaticFiles::present(Found&& found, const FileRequest& request, TreePath& path) const {
  Presentation how;
  how.mime_type = type_of(path.view());
  how.cache_control = config_.cache_control;
  how.varies = choose_encoding(request.head.headers, path, found.file, how);
  return answer_with_file(std::move(found.file), how, request.head.headers,
                          request.head.is("HEAD"));
}

bool StaticFiles::choose_encoding(const http::Headers& request, TreePath& path, OpenFile& file,
                                  Presentation& how) const {
  // What is packed already has no packed sibling: three looks at the disk less per picture.
  if (!config_.precompressed || !http::is_compressible(how.mime_type)) return false;
  if (!request.has(HeaderId::kAcceptEncoding)) return true;
  const auto choice = acceptable_siblings(request);
  const size_t plain = path.size();
  for (size_t i = 0; i < choice.count; ++i) {
    if (!path.append(choice.kinds[i].suffix)) continue;
    Found sibling = open(path);
    path.truncate(plain);
    if (sibling.outcome != Outcome::kFile) continue;
    // An older one was made from what the file used to be.
    const auto& theirs = sibling.file.status.st_mtim;
    const auto& ours = file.status.st_mtim;
    if (std::pair{theirs.tv_sec, theirs.tv_nsec} < std::pair{ours.tv_sec, ours.tv_nsec}) continue;
    file = std::move(sibling.file);
    how.encoding = choice.kinds[i].encoding;
    break;
  }
  return true;
}

FileAnswer StaticFiles::list(Found&& found, const FileRequest& request, bool is_head) const {
  ListingOptions options;
  options.hidden = config_.hidden;
  options.symlinks = config_.follow_symlinks;
  const std::string page = make_listing(std::move(found.file.fd), request.full_path, options);
  if (page.empty()) return bare_answer(500);
  FileAnswer answer = bare_answer(200);
  answer.head.headers.add(HeaderId::kContentType, "text/html; charset=utf-8");
  if (is_head) {
    answer.head.body = http::BodySize::none();
    answer.head.declared_length = page.size();
    return answer;
  }
  answer.body.append_copy(page);
  answer.head.body = http::BodySize::exactly(page.size());
  return answer;
}

}  // namespace sluice::route
