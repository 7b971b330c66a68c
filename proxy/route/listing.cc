#include "proxy/route/listing.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include <dirent.h>

namespace sluice::route {
namespace {

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

std::string escape_html(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

// All but unreserved characters (RFC 3986 §2.3); safe in an attribute as well.
std::string encode_segment(std::string_view name) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  constexpr std::string_view kPlain = "-._~";
  std::string out;
  for (const char c : name) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (letter || kPlain.find(c) != std::string_view::npos) {
      out += c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    out += '%';
    out += kHex[byte >> 4];
    out += kHex[byte & 15];
  }
  return out;
}

bool is_listed(const dirent& entry, const ListingOptions& options) {
  const std::string_view name = entry.d_name;
  if (name == "." || name == ".." || (name.front() == '.' && !options.hidden)) return false;
  const auto type = entry.d_type;
  return type == DT_REG || type == DT_DIR || type == DT_UNKNOWN ||
         (type == DT_LNK && options.symlinks);
}

}  // namespace

std::string make_listing(Fd folder, std::string_view path, const ListingOptions& options) {
  const std::unique_ptr<DIR, CloseDirectory> directory{::fdopendir(folder.get())};
  if (!directory) return {};
  folder.take();  // closedir closes it
  std::vector<std::string> names;
  bool more = false;
  while (const dirent* entry = ::readdir(directory.get())) {
    if (!is_listed(*entry, options)) continue;
    if (names.size() == options.most_entries) {
      more = true;
      break;
    }
    names.emplace_back(entry->d_name);
    if (entry->d_type == DT_DIR) names.back() += '/';
  }
  std::sort(names.begin(), names.end());

  const std::string title = escape_html(path);
  std::string page = "<!DOCTYPE html>\n<html><head><meta charset=\"utf-8\"><title>" + title +
                     "</title></head>\n<body><h1>" + title + "</h1>\n<ul>\n";
  if (path != "/") page += "<li><a href=\"../\">../</a></li>\n";
  for (const std::string& name : names) {
    const bool is_folder = name.back() == '/';
    const std::string_view bare{name.data(), name.size() - (is_folder ? 1 : 0)};
    // "./": a name with a colon is not a scheme.
    page += "<li><a href=\"./" + encode_segment(bare) + (is_folder ? "/" : "") + "\">" +
            escape_html(name) + "</a></li>\n";
  }
  page += "</ul>\n";
  if (more) page += "<p>There is more.</p>\n";
  return page + "</body></html>\n";
}

}  // namespace sluice::route
