#include "proxy/config/flags.h"

#include <fmt/format.h>

#include "proxy/config/endpoint_text.h"

namespace sluice::config {
namespace {

constexpr std::string_view kUpstreamName = "app";

Node scalar(std::string_view flag, std::string_view value) {
  Node node;
  node.kind = Node::Kind::kScalar;
  node.file = flag;
  node.scalar = value;
  return node;
}

Node map(std::string_view flag, std::vector<Node::Entry> entries) {
  Node node;
  node.kind = Node::Kind::kMap;
  node.file = flag;
  node.entries = std::move(entries);
  return node;
}

Node list(std::string_view flag, std::vector<Node> items) {
  Node node;
  node.kind = Node::Kind::kList;
  node.file = flag;
  node.items = std::move(items);
  return node;
}

struct UpstreamUrl {
  std::string_view protocol;
  std::string address;
};

// What stands behind http:// may be a name, which a file writes dns://.
std::string endpoint_of(std::string_view host_and_port) {
  auto by_name = fmt::format("dns://{}", host_and_port);
  return parse_endpoint(by_name) ? by_name : std::string{host_and_port};
}

// "uwsgi://127.0.0.1:8000", "http+unix:/run/app.sock"; an empty protocol after a fault.
UpstreamUrl parse_upstream(std::string_view url, Faults& faults) {
  struct Form {
    std::string_view prefix;
    std::string_view protocol;
    std::string_view address;
  };
  for (const auto& [prefix, protocol, address] :
       {Form{"uwsgi://", "uwsgi", ""}, Form{"http://", "http1", ""},
        Form{"fastcgi://", "fastcgi", ""}, Form{"uwsgi+unix:", "uwsgi", "unix:"},
        Form{"http+unix:", "http1", "unix:"}, Form{"fastcgi+unix:", "fastcgi", "unix:"}}) {
    if (url.substr(0, prefix.size()) != prefix) continue;
    auto rest = url.substr(prefix.size());
    if (address.empty() && !rest.empty() && rest.back() == '/') rest.remove_suffix(1);
    return {protocol, address.empty() ? endpoint_of(rest) : std::string{address}.append(rest)};
  }
  const bool is_later = url.substr(0, 8) == "https://" || url.substr(0, 6) == "h2c://";
  faults.add("--upstream", 0, "",
             fmt::format("\"{}\" {}; write uwsgi://127.0.0.1:8000, http://127.0.0.1:8000, "
                         "uwsgi+unix:/run/app.sock or http+unix:/run/app.sock", url,
                         is_later ? "is not supported in this version"
                                  : "has no scheme that is known"));
  return {};
}

Node route(std::string_view flag, std::string_view path, std::string_view action, Node what) {
  return map(flag, {{"path", scalar(flag, path)}, {std::string{action}, std::move(what)}});
}

void add_statics(const Flags& flags, std::vector<Node>& routes, Faults& faults) {
  for (const auto& pair : flags.statics) {
    const auto equals = pair.find('=');
    if (equals == std::string::npos) {
      faults.add("--static", 0, "",
                 fmt::format("\"{}\" has no =; write /static/=/vol/static", pair));
      continue;
    }
    const std::string_view text = pair;
    Node root = scalar("--static", text.substr(equals + 1));
    routes.push_back(route("--static", text.substr(0, equals), "static",
                           map("--static", {{"root", std::move(root)}})));
  }
}

}  // namespace

Node tree_of(const Flags& flags, Faults& faults) {
  std::vector<Node> listeners;
  for (const auto& address : flags.listen) {
    listeners.push_back(map("--listen", {{"address", scalar("--listen", address)}}));
  }
  std::vector<Node> routes;
  routes.push_back(route("--listen", "/healthz", "respond",
                         map("--listen", {{"health", scalar("--listen", "ready")}})));
  add_statics(flags, routes, faults);
  Node root = map("command line", {});
  if (!flags.upstream.empty()) {
    const auto [protocol, address] = parse_upstream(flags.upstream, faults);
    if (!protocol.empty()) {
      std::vector<Node::Entry> entries;
      entries.push_back({"protocol", scalar("--upstream", protocol)});
      entries.push_back({"endpoints", list("--upstream", {scalar("--upstream", address)})});
      root.entries.push_back(
          {"upstreams", map("--upstream", {{std::string{kUpstreamName},
                                            map("--upstream", std::move(entries))}})});
      routes.push_back(route("--upstream", "/", "upstream", scalar("--upstream", kUpstreamName)));
    }
  }
  if (!listeners.empty()) {
    root.entries.push_back({"listeners", list("--listen", std::move(listeners))});
  }
  root.entries.push_back({"routes", list("command line", std::move(routes))});
  if (flags.metrics) {
    root.entries.push_back(
        {"metrics", map("--metrics", {{"address", scalar("--metrics", *flags.metrics)}})});
  }
  if (flags.admin) {
    root.entries.push_back(
        {"admin", map("--admin", {{"socket", scalar("--admin", *flags.admin)}})});
  }
  name_keys(root);
  return root;
}

}  // namespace sluice::config
