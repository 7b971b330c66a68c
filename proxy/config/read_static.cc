#include <cerrno>

#include <fmt/format.h>
#include <sys/stat.h>

#include "proxy/config/readers.h"

namespace sluice::config {
namespace {

void check_root(MapReader& map, const Scene& scene, const std::string& root) {
  if (!map.has("root")) return map.fault("root", "is missing; write the folder, as in /vol/static");
  check_absolute(map, "root", root);
  if (!scene.check_files || root.empty() || root.front() != '/') return;
  struct stat status {};
  if (::stat(root.c_str(), &status) != 0) {
    const auto error = error_from_errno(errno, Side::kUs, fmt::format("\"{}\"", root));
    return map.fault("root", error.detail);
  }
  if (!S_ISDIR(status.st_mode)) map.fault("root", fmt::format("\"{}\" is no folder", root));
}

// "$path", "$path/", "$path.html", "/a/$path", "/fallback.html": at most one $path, and no other $.
bool is_try(std::string_view entry) {
  constexpr std::string_view kPath = "$path";
  const auto dollar = entry.find('$');
  if (dollar == std::string_view::npos) return !entry.empty() && entry.front() == '/';
  if (entry.substr(dollar, kPath.size()) != kPath) return false;
  if (entry.find('$', dollar + 1) != std::string_view::npos) return false;
  return dollar == 0 || entry.front() == '/';
}

void check_tries(MapReader& map, const std::vector<std::string>& tries) {
  for (const auto& entry : tries) {
    if (is_try(entry)) continue;
    const bool is_nginx = entry.find("$uri") != std::string::npos;
    map.fault("try_files", fmt::format("\"{}\" is neither $path, $path/, $path.html nor a /file "
                                       "under the root{}", entry,
                                       is_nginx ? " ($uri is written $path)" : ""));
  }
}

}  // namespace

void read_static(MapReader& map, const Scene& scene, const std::vector<Upstream>& upstreams,
                 StaticFiles& into) {
  map.text("root", into.root);
  check_root(map, scene, into.root);
  map.texts("index", into.index);
  for (const auto& name : into.index) {
    if (name.empty() || name.find('/') != std::string::npos) {
      map.fault("index", fmt::format("\"{}\" is not the plain name of a file", name));
    }
  }
  map.texts("try_files", into.try_files);
  check_tries(map, into.try_files);
  read_upstream_name(map, "fallback", upstreams, into.fallback);
  map.text("cache_control", into.cache_control);
  check_printable(map, "cache_control", into.cache_control);
  map.flag("listing", into.listing);
  map.flag("precompressed", into.precompressed);
  map.flag("hidden", into.hidden);
  map.flag("follow_symlinks", into.follow_symlinks);
  map.texts("types", into.types);
  for (const auto& [extension, type] : into.types) {
    check_printable(map, "types", type);
    if (type.find('/') == std::string::npos) {
      map.fault("types", fmt::format("\"{}\" is no MIME type, as in text/plain", type));
    }
    if (extension.empty() || extension.front() == '.') {
      map.fault("types", fmt::format("\"{}\": write the extension without its dot", extension));
    }
  }
}

}  // namespace sluice::config
