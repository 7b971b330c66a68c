#include "proxy/route/table.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "proxy/base/text.h"
#include "proxy/route/rewrite.h"

namespace sluice::route {
namespace {

// RFC 1035 §2.3.4; a longer name is nobody's.
constexpr size_t kLongestHost = 255;
using HostBuffer = std::array<char, kLongestHost>;

// Lower case, without port and root dot; empty when it cannot be a configured host.
std::string_view plain_host(std::string_view authority, HostBuffer& buffer) {
  auto host = host_of(authority);
  if (host.ends_with('.')) host.remove_suffix(1);
  if (host.size() > buffer.size()) return {};
  std::transform(host.begin(), host.end(), buffer.begin(), ascii_lower);
  return {buffer.data(), host.size()};
}

// HEAD is GET without the body (RFC 9110 §9.3.2): who allows one allows the other.
bool allows(const std::vector<std::string>& methods, std::string_view method) {
  if (methods.empty()) return true;
  return std::any_of(methods.begin(), methods.end(), [method](const std::string& allowed) {
    return allowed == method || (allowed == "GET" && method == "HEAD");
  });
}

bool holds(const config::HeaderCondition& condition, const http::RequestHead& head) {
  // Codecs take Upgrade out of the fields; whoever routes WebSockets by it still can.
  if (!head.upgrade.empty() && iequals(condition.name, "upgrade")) {
    return !condition.value || iequals(head.upgrade, *condition.value);
  }
  return std::any_of(head.headers.begin(), head.headers.end(),
                     [&condition](const http::Headers::Field& field) {
                       return iequals(field.name, condition.name) &&
                              (!condition.value || field.value == *condition.value);
                     });
}

// What the headers say, whatever the method.
bool fits_headers(const config::Route& config, const http::RequestHead& head) {
  return std::all_of(config.headers.begin(), config.headers.end(),
                     [&head](const auto& condition) { return holds(condition, head); });
}

// Takes the first whose conditions hold.
class Search final : public Candidates {
 public:
  enum class Scope : uint8_t { kPublic, kInternal, kAll };
  Search(const http::RequestHead& head, Scope scope) : head_(head), scope_(scope) {}

  bool on_candidate(const Route& route) override {
    if (scope_ != Scope::kAll && route.config.internal != (scope_ == Scope::kInternal))
      return false;
    if (!fits_headers(route.config, head_)) return false;
    if (!allows(route.config.methods, head_.method)) {
      match_.is_wrong_method = true;
      return false;
    }
    match_ = {&route, false};
    return true;
  }
  const Match& match() const { return match_; }

 private:
  const http::RequestHead& head_;
  const Scope scope_;
  Match match_;
};

// Takes none, and notes what methods there would be.
class MethodCollector final : public Candidates {
 public:
  explicit MethodCollector(const http::RequestHead& head) : head_(head) {}

  bool on_candidate(const Route& route) override {
    if (route.config.internal || !fits_headers(route.config, head_)) return false;
    for (const auto& method : route.config.methods) {
      add(method);
      if (method == "GET") add("HEAD");
    }
    return false;
  }
  const std::string& list() const { return list_; }

 private:
  void add(std::string_view method) {
    const auto known = split(list_, ',');
    for (const auto other : known) {
      if (trim_ows(other) == method) return;
    }
    if (!list_.empty()) list_ += ", ";
    list_ += method;
  }

  const http::RequestHead& head_;
  std::string list_;
};

}  // namespace

std::unique_ptr<const Table> Table::build(const std::vector<config::Route>& routes,
                                          config::Faults& faults) {
  std::unique_ptr<Table> table{new Table};
  for (const auto& route : routes) table->add(route, faults);
  table->seal();
  return table;
}

void Table::add(const config::Route& config, config::Faults& faults) {
  Route& route = routes_.emplace_back(config, routes_.size());
  const auto fault = [&config, &route, &faults](std::string_view key, const Error& error) {
    const auto full = "routes[" + std::to_string(route.id) + "]." + std::string{key};
    faults.add(config.place.file, config.place.line, full, error.detail);
  };
  if (config.action == config::Action::kStatic) {
    route.files = std::make_unique<const StaticFiles>(config.files);
  }
  if (config.action == config::Action::kRedirect) {
    auto redirect = Redirect::parse(config.redirect.to);
    if (!redirect) return fault("redirect", redirect.error());
    route.redirect = std::move(*redirect);
  }
  if (const auto added = index_for(config.host).add(route); !added) fault("regex", added.error());
}

PathIndex& Table::index_for(std::string_view host) {
  if (host.ends_with('.')) host.remove_suffix(1);
  if (host.empty() || host == "*") return any_host_;
  if (!host.starts_with("*.")) return hosts_[to_lower(host)];
  longest_wildcard_ = std::max(longest_wildcard_, host.size() - 1);
  return wildcards_[to_lower(host.substr(1))];
}

void Table::seal() {
  for (auto& [host, index] : hosts_) index.seal();
  for (auto& [host, index] : wildcards_) index.seal();
  any_host_.seal();
}

void Table::search(std::string_view host, std::string_view path, Candidates& candidates) const {
  if (hosts_.empty() && wildcards_.empty()) {
    any_host_.offer(path, candidates);
    return;
  }
  HostBuffer buffer;
  const auto name = plain_host(host, buffer);
  if (!name.empty() && !hosts_.empty()) {
    const auto found = hosts_.find(name);
    if (found != hosts_.end() && found->second.offer(path, candidates)) return;
  }
  // From the left, so the longest comes first; "*.example.com" is not example.com itself.
  for (auto dot = wildcards_.empty() ? std::string_view::npos : name.find('.', 1);
       dot != std::string_view::npos; dot = name.find('.', dot + 1)) {
    if (name.size() - dot > longest_wildcard_) continue;
    const auto found = wildcards_.find(name.substr(dot));
    if (found != wildcards_.end() && found->second.offer(path, candidates)) return;
  }
  any_host_.offer(path, candidates);
}

Match Table::find(std::string_view host, std::string_view path,
                  const http::RequestHead& head) const {
  Search wanted{head, Search::Scope::kPublic};
  search(host, path, wanted);
  return wanted.match();
}

Match Table::find_internal(std::string_view host, std::string_view path,
                           const http::RequestHead& head) const {
  Search internal{head, Search::Scope::kInternal};
  search(host, path, internal);
  if (internal.match().route != nullptr) return internal.match();
  Search any{head, Search::Scope::kAll};
  search(host, path, any);
  return any.match();
}

std::string Table::allowed_methods(std::string_view host, std::string_view path,
                                   const http::RequestHead& head) const {
  MethodCollector methods{head};
  search(host, path, methods);
  return methods.list();
}

}  // namespace sluice::route
