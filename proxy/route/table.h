// Table: finds the route of a request: the most specific host, then exact path, regular expression
// (in file order), longest prefix by segments, then the conditions; a route whose conditions fail
// makes room for the next best, down to those of a less specific host. Hash lookups all the way:
// ten thousand routes cost a request what ten do, and no allocation (but where more than a handful
// of regular expressions share a host, and some match). Built by the control thread, const, shared
// by all workers as part of the Snapshot.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "proxy/config/config.h"
#include "proxy/http/message.h"
#include "proxy/route/path_index.h"
#include "proxy/route/route.h"

namespace sluice::route {

struct Match {
  const Route* route = nullptr;
  // No route, only because of the method: 405, with allowed_methods() in Allow.
  bool is_wrong_method = false;
};

class Table {
 public:
  // Never null. Opens roots and compiles expressions; what cannot be is in `faults`.
  // Requires: `routes` passed the checks of config/, outlives the table and does not change.
  static std::unique_ptr<const Table> build(const std::vector<config::Route>& routes,
                                            config::Faults& faults);

  // `host` as sent, port and all; `path` normalised; `head` for method and headers.
  Match find(std::string_view host, std::string_view path, const http::RequestHead& head) const;
  Match find(const http::RequestHead& head) const { return find(head.authority, head.path, head); }
  // For X-Accel-Redirect: internal routes as well, and before others of the same path.
  Match find_internal(std::string_view host, std::string_view path,
                      const http::RequestHead& head) const;
  // "GET, HEAD, POST": of all routes that only the method keeps from fitting.
  std::string allowed_methods(std::string_view host, std::string_view path,
                              const http::RequestHead& head) const;

  const std::deque<Route>& routes() const { return routes_; }

 private:
  struct TextHash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };
  using HostMap = std::unordered_map<std::string, PathIndex, TextHash, std::equal_to<>>;

  Table() = default;
  void add(const config::Route& config, config::Faults& faults);
  void seal();
  PathIndex& index_for(std::string_view host);
  void search(std::string_view host, std::string_view path, Candidates& candidates) const;

  std::deque<Route> routes_;  // by id; addresses are stable
  HostMap hosts_;             // "example.com"
  HostMap wildcards_;         // ".example.com" for "*.example.com"
  size_t longest_wildcard_ = 0;
  PathIndex any_host_;
};

}  // namespace sluice::route
