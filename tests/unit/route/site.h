// Site: a file tree to ask, and its answers as a client would see them.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include <unistd.h>

#include "proxy/config/config.h"
#include "proxy/http/message.h"
#include "proxy/http/target.h"
#include "proxy/route/static_files.h"
#include "tests/unit/route/temp_tree.h"

namespace sluice::route {

using Fields = std::initializer_list<std::pair<std::string_view, std::string_view>>;

// The bytes of a chain, file ranges read from their files.
inline std::string bytes_of(const Chain& chain) {
  std::string out;
  for (size_t i = 0; i < chain.piece_count(); ++i) {
    const auto& piece = chain.piece(i);
    if (!piece.is_file()) {
      out += piece.view();
      continue;
    }
    std::string text(piece.size, '?');
    const ssize_t got =
        ::pread(piece.file->get(), text.data(), text.size(), static_cast<off_t>(piece.offset));
    out += text.substr(0, got < 0 ? 0 : static_cast<size_t>(got));
  }
  return out;
}

struct Site {
  TempTree temp;
  config::StaticFiles config;
  TimePoint now{};

  Site() { config.root = temp.path("www"); }

  // A route at /static/.
  FileAnswer ask(std::string_view method, std::string_view target, Fields fields = {},
                 bool is_internal = false) const {
    const StaticFiles files{config};
    http::RequestHead head;
    head.method = method;
    REQUIRE(http::parse_target(target, head).has_value());
    for (const auto& [name, value] : fields) head.headers.add(name, value);
    std::string_view path = head.path;
    path.remove_prefix(std::string_view{"/static"}.size());
    return files.answer({head, path, head.path, now, is_internal});
  }
  FileAnswer get(std::string_view target, Fields fields = {}) const {
    return ask("GET", target, fields);
  }
  std::string body(std::string_view target, Fields fields = {}) const {
    return bytes_of(get(target, fields).body);
  }
  int status(std::string_view target, Fields fields = {}) const {
    return get(target, fields).head.status;
  }
};

inline std::string field(const FileAnswer& answer, std::string_view name) {
  return std::string{answer.head.headers.get(name)};
}

}  // namespace sluice::route
