#include "proxy/http/fastcgi_params.h"

#include <optional>
#include <utility>

#include "proxy/http/cgi_variables.h"
#include "proxy/http/fastcgi_records.h"
#include "proxy/http/target.h"

namespace sluice::http {
namespace {

constexpr char kResponder = 1;       // §6.2
constexpr char kKeepConnection = 1;  // §5.1
constexpr size_t kBeginBody = 8;
constexpr size_t kShortSize = 128;  // §3.4: from here on a size takes four bytes

size_t size_of_size(size_t size) {
  return size < kShortSize ? 1 : 4;
}

// The variables that depend on what is a script here.
struct Script {
  std::string name;
  std::string path_info;
  std::string file;  // SCRIPT_FILENAME; "": none
};

std::optional<Script> script_of(const RequestHead& head, const config::Fastcgi& settings) {
  const std::string_view raw = head.target.substr(0, head.target.find('?'));
  Script script;
  if (settings.root.empty()) {
    auto decoded = decode_path(raw);
    if (!decoded) return std::nullopt;
    script.path_info = std::move(*decoded);
    return script;
  }
  Arena arena;
  const auto path = normalize_path(raw, arena);
  if (!path) return std::nullopt;
  FastcgiScript found = find_script(*path, settings);
  script.path_info = found.rest;
  script.name = std::move(found.name);
  script.file = settings.root + script.name;
  return script;
}

// pair(name, value) for those that are no fields. What the configuration sets comes once, and last.
template <typename Pair>
void visit_fixed(const CgiVariables& variables, const Script& script,
                 const config::Fastcgi& settings, Pair pair) {
  const auto unless_set = [&settings, &pair](std::string_view name, std::string_view value) {
    if (settings.params.empty() || settings.params.find(name) == settings.params.end()) {
      pair(name, value);
    }
  };
  variables.visit_fixed(unless_set);
  unless_set("GATEWAY_INTERFACE", "CGI/1.1");
  unless_set("SERVER_SOFTWARE", "sluice");
  unless_set("SCRIPT_NAME", script.name);
  unless_set("PATH_INFO", script.path_info);
  unless_set("DOCUMENT_ROOT", settings.root);
  if (!script.file.empty()) {
    unless_set("SCRIPT_FILENAME", script.file);
    // PHP runs no script without it where it was built to be called by a server only.
    unless_set("REDIRECT_STATUS", "200");
  }
  for (const auto& [name, value] : settings.params) pair(name, value);
}

// Where records begin: the same in both passes.
class Layout {
 public:
  // True: this variable begins a record.
  bool add(size_t size) {
    const bool begins = records_ == 0 || used_ + size > kFastcgiContent;
    if (begins) {
      ++records_;
      used_ = 0;
    }
    used_ += size;
    content_ += size;
    if (size > kFastcgiContent) fits_ = false;
    return begins;
  }
  bool fits() const { return fits_; }
  size_t wire_size() const { return records_ * kFastcgiHead + content_; }

 private:
  size_t records_ = 0;
  size_t used_ = 0;  // of the present one
  size_t content_ = 0;
  bool fits_ = true;
};

size_t size_of_pair(size_t name, size_t value) {
  return size_of_size(name) + size_of_size(value) + name + value;
}

class Pen final : public CgiPen {
 public:
  using CgiPen::CgiPen;
  void put_head(FastcgiType type, size_t size) {
    const FastcgiHead head = fastcgi_head(type, size);
    put({head.data(), head.size()});
  }
  // The sizes of a variable, behind the head of a record where one begins with it.
  void begin_pair(size_t name, size_t value) {
    if (layout_.add(size_of_pair(name, value))) {
      close_record();
      record_ = at_;
      at_ += kFastcgiHead;
    }
    put_size(name);
    put_size(value);
  }
  void close_record() {
    if (record_ == nullptr) return;
    char* const end = std::exchange(at_, record_);
    put_head(FastcgiType::kParams, static_cast<size_t>(end - record_) - kFastcgiHead);
    at_ = end;
  }

 private:
  void put_size(size_t size) {
    if (size < kShortSize) return put_byte(size);
    put_byte(size >> 24 | 0x80);
    put_byte(size >> 16);
    put_byte(size >> 8);
    put_byte(size);
  }

  Layout layout_;
  char* record_ = nullptr;  // the head of the present one, written when it is closed
};

}  // namespace

FastcgiScript find_script(std::string_view path, const config::Fastcgi& settings) {
  const std::string_view split = settings.split;
  if (!split.empty()) {
    for (auto at = path.find(split); at != std::string_view::npos; at = path.find(split, at + 1)) {
      const size_t end = at + split.size();
      if (end < path.size() && path[end] != '/') continue;
      return {std::string(path.substr(0, end)), path.substr(end)};
    }
  }
  // The front controller finds its way by REQUEST_URI.
  if (!settings.index.empty()) return {"/" + settings.index, {}};
  return {std::string(path), {}};
}

Status write_fastcgi_begin(const RequestHead& head, const config::Fastcgi& settings, Chain& out) {
  const CgiVariables variables(head);
  const auto script = script_of(head, settings);
  if (!script) return fail(ErrorCode::kMalformed, Side::kClient, "path");
  Layout layout;
  visit_fixed(variables, *script, settings,
              [&layout](std::string_view name, std::string_view value) {
                layout.add(size_of_pair(name.size(), value.size()));
              });
  variables.visit_fields(
      [&layout](std::string_view name, size_t size) {
        layout.add(size_of_pair(CgiVariables::kFieldPrefix.size() + name.size(), size));
      },
      [](std::string_view) {});
  if (!layout.fits()) return fail(ErrorCode::kTooLarge, Side::kClient, "FastCGI variable");

  const size_t size = kFastcgiHead + kBeginBody + layout.wire_size() + kFastcgiHead;
  Pen pen(out.prepare(size));
  pen.put_head(FastcgiType::kBeginRequest, kBeginBody);
  const char begin[kBeginBody] = {0, kResponder, settings.keep ? kKeepConnection : char{0}};
  pen.put({begin, kBeginBody});
  visit_fixed(variables, *script, settings, [&pen](std::string_view name, std::string_view value) {
    pen.begin_pair(name.size(), value.size());
    pen.put(name);
    pen.put(value);
  });
  variables.visit_fields(
      [&pen](std::string_view name, size_t value) {
        pen.begin_pair(CgiVariables::kFieldPrefix.size() + name.size(), value);
        pen.put_field_name(name);
      },
      [&pen](std::string_view part) { pen.put(part); });
  pen.close_record();
  pen.put_head(FastcgiType::kParams, 0);
  out.commit(size);
  return {};
}

}  // namespace sluice::http
