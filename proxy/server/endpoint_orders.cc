#include "proxy/server/endpoint_orders.h"

#include <map>
#include <optional>
#include <string>
#include <utility>

#include <nlohmann/json.hpp>

#include "proxy/base/text.h"
#include "proxy/config/address.h"
#include "proxy/config/units.h"
#include "proxy/upstream/endpoint_words.h"

namespace sluice::server {
namespace {

constexpr uint64_t kMostShare = 65535;  // as in the configuration
constexpr std::string_view kUsage =
    "POST /upstreams/NAME/endpoints/ORDER?address=127.0.0.1:8000; ORDER is add (and weight=N, "
    "priority=N, backup=true), remove, drain, undrain or weight (and weight=N)";

using Words = std::map<std::string, std::string, std::less<>>;

tl::unexpected<Error> wrong(std::string why) {
  return fail(ErrorCode::kInvalid, Side::kUs, std::move(why));
}

// RFC 3986 §2.1; nullopt: an escape that is none.
std::optional<std::string> unescaped(std::string_view text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      plain += text[i];
      continue;
    }
    if (i + 2 >= text.size()) return std::nullopt;
    const int high = hex_value(text[i + 1]);
    const int low = hex_value(text[i + 2]);
    if (high < 0 || low < 0) return std::nullopt;
    plain += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return plain;
}

Result<Words> read_words(std::string_view query) {
  Words words;
  if (query.empty()) return words;
  for (const std::string_view pair : split(query, '&')) {
    const size_t sign = pair.find('=');
    const auto value = unescaped(sign == std::string_view::npos ? "" : pair.substr(sign + 1));
    const std::string name(pair.substr(0, sign));
    if (!value) return wrong(name + ": \"%\" is followed by two hex digits");
    if (name != "address" && name != "weight" && name != "priority" && name != "backup") {
      return wrong("there is no parameter \"" + name + "\"; " + std::string(kUsage));
    }
    words[name] = *value;
  }
  return words;
}

Result<net::SocketAddress> read_address(const Words& words) {
  const auto text = words.find("address");
  if (text == words.end()) return wrong("no address is given; " + std::string(kUsage));
  const auto address = config::parse_address(text->second, config::AddressUse::kConnect);
  if (!address) return tl::unexpected(address.error());
  return net::SocketAddress::from(*address);
}

Result<uint32_t> read_number(const Words& words, std::string_view name, uint64_t least,
                             uint32_t otherwise) {
  const auto text = words.find(name);
  if (text == words.end()) return otherwise;
  const auto number = parse_decimal(text->second);
  if (number && *number >= least && *number <= kMostShare) return static_cast<uint32_t>(*number);
  return wrong(std::string(name) + " is " + std::to_string(least) + " to " +
               std::to_string(kMostShare) + (least > 0 ? "; to send nothing, drain it" : ""));
}

Result<std::string> add(upstream::Directory& directory, const std::string& upstream,
                        const net::SocketAddress& address, const Words& words) {
  const auto weight = read_number(words, "weight", 1, 1);
  if (!weight) return tl::unexpected(weight.error());
  auto priority = read_number(words, "priority", 0, 0);
  if (!priority) return tl::unexpected(priority.error());
  if (const auto text = words.find("backup"); text != words.end()) {
    const auto flag = config::parse_flag(text->second);
    if (!flag) return wrong("backup is true or false");
    if (words.count("priority") > 0) return wrong("backup says the same as priority=1");
    *priority = *flag ? 1 : 0;
  }
  return directory.add(upstream, address, *weight, *priority);
}

Result<std::string> obey(upstream::Directory& directory, const std::string& upstream,
                         std::string_view order, const Words& words) {
  const auto address = read_address(words);
  if (!address) return tl::unexpected(address.error());
  const std::string endpoint = address->text();
  if (order == "add") return add(directory, upstream, *address, words);
  if (order == "remove") return directory.remove(upstream, endpoint);
  if (order == "drain") return directory.drain(upstream, endpoint);
  if (order == "undrain") return directory.undrain(upstream, endpoint);
  if (order != "weight") {
    return fail(ErrorCode::kNotFound, Side::kUs,
                "there is no order \"" + std::string(order) + "\"; " + std::string(kUsage));
  }
  if (words.count("weight") == 0) return wrong("no weight is given; " + std::string(kUsage));
  const auto weight = read_number(words, "weight", 1, 1);
  if (!weight) return tl::unexpected(weight.error());
  return directory.set_weight(upstream, endpoint, *weight);
}

nlohmann::json describe(const upstream::EndpointView& view, const observe::Metrics& metrics) {
  const upstream::Endpoint& endpoint = *view.endpoint;
  nlohmann::json out{{"address", endpoint.name()},
                     {"state", upstream::name_of(endpoint.state())},
                     {"weight", endpoint.weight()},
                     {"priority", endpoint.priority()},
                     {"in_flight", metrics.in_flight(endpoint.id())},
                     {"since_seconds", seconds(steady_now() - endpoint.changed_at())},
                     {"source", view.is_leaving ? "leaving" : view.source}};
  if (endpoint.is_ejected()) out["ejected"] = true;
  if (endpoint.backlog_is_full()) out["backlog_full"] = true;
  const Duration seen = endpoint.seen_keep_alive();
  if (seen.count() > 0) out["seen_keep_alive_seconds"] = seconds(seen);
  return out;
}

}  // namespace

ControlReply order_endpoints(upstream::Directory& directory, std::string_view target) {
  const size_t mark = target.find('?');
  const auto parts = split(target.substr(0, mark), '/');  // "", upstreams, NAME, endpoints, ORDER
  const auto name = parts.size() == 5 ? unescaped(parts[2]) : std::nullopt;
  if (!name || parts[3] != "endpoints") return {404, std::string(kUsage) + "\n"};
  const auto words =
      read_words(mark == std::string_view::npos ? std::string_view{} : target.substr(mark + 1));
  if (!words) return {422, words.error().detail + "\n"};
  const auto done = obey(directory, *name, parts[4], *words);
  if (done) return {200, *done + "\n"};
  return {done.error().code == ErrorCode::kNotFound ? 404 : 422, done.error().detail + "\n"};
}

nlohmann::json describe_upstreams(const upstream::Directory& directory,
                                  const observe::Metrics& metrics) {
  nlohmann::json all = nlohmann::json::array();
  for (const upstream::UpstreamView& view : directory.view()) {
    nlohmann::json one{{"name", view.name},
                       {"protocol", config::name_of(view.protocol)},
                       {"endpoints", nlohmann::json::array()}};
    for (const auto& endpoint : view.endpoints)
      one["endpoints"].push_back(describe(endpoint, metrics));
    for (const upstream::NameView& known : view.names) {
      nlohmann::json source{{"name", known.text}, {"addresses", known.found}};
      if (!known.trouble.empty()) source["trouble"] = known.trouble;
      one["names"].push_back(std::move(source));
    }
    all.push_back(std::move(one));
  }
  return all;
}

}  // namespace sluice::server
