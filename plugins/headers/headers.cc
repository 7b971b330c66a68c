#include "plugins/headers/headers.h"

#include <algorithm>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "plugins/headers/template.h"
#include "proxy/base/text.h"
#include "proxy/http/framing.h"

namespace sluice::plugins {
namespace {

using filter::FilterHost;
using filter::Verdict;
using http::HeaderId;

enum class What : uint8_t { kRemove, kSet, kAdd, kDefault };

struct Change {
  What what = What::kSet;
  HeaderId id = HeaderId::kOther;
  std::string name;
  Template value;
};

using Changes = std::vector<Change>;  // in the order they are made; bounded by the configuration

const http::Headers::Field* find(const http::Headers& headers, const Change& change) {
  return change.id == HeaderId::kOther ? headers.find(change.name) : headers.find(change.id);
}

void remove(http::Headers& headers, const Change& change) {
  if (change.id == HeaderId::kOther) {
    headers.remove(change.name);
  } else {
    headers.remove(change.id);
  }
}

// `head` is the request's, which variables ask; `headers` are those that change.
void apply(const Changes& changes, FilterHost& host, const http::RequestHead& head,
           http::Headers& headers) {
  for (const auto& change : changes) {
    if (change.what == What::kDefault && find(headers, change) != nullptr) continue;
    // Filled in first: the value may ask for the field that is replaced.
    std::string_view value;
    if (change.what != What::kRemove) value = change.value.fill(host, head, headers.arena());
    if (change.what == What::kRemove || change.what == What::kSet) remove(headers, change);
    if (change.what != What::kRemove) headers.add(change.name, value);
  }
}

// Host is what routes to a virtual host behind us: it has a second place in the head, and must stay
// valid whatever the variables say.
void set_host(const Change& change, FilterHost& host, http::RequestHead& head) {
  const auto value = head.headers.arena().copy(change.value.fill(host, head, head.headers.arena()));
  if (!http::is_valid_authority(value)) return;
  head.authority = value;
  head.headers.set(HeaderId::kHost, value);
}

struct Settings {
  Changes request;
  std::vector<Change> host;  // at most one
  Changes response;
};

class HeadersFilter : public filter::Filter {
 public:
  explicit HeadersFilter(const Settings& settings) : settings_(settings) {}
  Verdict on_request(FilterHost& host, http::RequestHead& head) override {
    apply(settings_.request, host, head, head.headers);
    for (const auto& change : settings_.host) set_host(change, host, head);
    return Verdict::kContinue;
  }
  Verdict on_response(FilterHost& host, http::ResponseHead& head) override {
    apply(settings_.response, host, host.request(), head.headers);
    return Verdict::kContinue;
  }

 private:
  const Settings& settings_;
};

class Factory : public filter::FilterFactory {
 public:
  explicit Factory(Settings settings) : settings_(std::move(settings)) {}
  std::unique_ptr<filter::Filter> make() const override {
    return std::make_unique<HeadersFilter>(settings_);
  }
  std::string_view name() const override { return "headers"; }

 private:
  const Settings settings_;
};

bool is_token(std::string_view name) {
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";  // RFC 9110 §5.6.2
  return !name.empty() && std::all_of(name.begin(), name.end(), [kMarks](char c) {
    const char lower = ascii_lower(c);
    return (lower >= 'a' && lower <= 'z') || is_digit(c) ||
           kMarks.find(c) != std::string_view::npos;
  });
}

// What belongs to one hop (RFC 9110 §7.6.1) or says where a message ends; the codecs write it.
bool is_of_the_hop(std::string_view name) {
  for (const std::string_view own :
       {"connection", "content-length", "expect", "http2-settings", "keep-alive",
        "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}) {
    if (iequals(name, own)) return true;
  }
  return false;
}

// Reads one direction's map.
class DirectionReader {
 public:
  DirectionReader(bool is_request, Settings& settings, config::Faults& faults)
      : is_request_(is_request),
        settings_(settings),
        changes_(is_request ? settings.request : settings.response),
        faults_(faults) {}

  void read(const config::Node& node) {
    config::MapReader reader(node, faults_);
    if (const auto* names = reader.child("remove")) read_names(*names);
    if (const auto* fields = reader.child("set")) read_fields(*fields, What::kSet);
    if (const auto* fields = reader.child("add")) read_fields(*fields, What::kAdd);
    if (const auto* fields = reader.child("default")) read_fields(*fields, What::kDefault);
    reader.finish();
  }

 private:
  void read_names(const config::Node& node) {
    if (!node.is_list()) return read_name(node);
    for (const auto& item : node.items) read_name(item);
  }

  void read_name(const config::Node& node) {
    if (node.kind != config::Node::Kind::kScalar) {
      faults_.add(node, "write a list of names: [ X-Debug, Server ]");
      return;
    }
    if (!check_name(node, node.scalar, What::kRemove)) return;
    changes_.push_back({What::kRemove, http::header_id(node.scalar), node.scalar, {}});
  }

  void read_fields(const config::Node& node, What what) {
    if (!node.is_map()) {
      faults_.add(node, "write a map: { X-Frame-Options: DENY }");
      return;
    }
    for (const auto& entry : node.entries) {
      if (!check_name(entry.value, entry.name, what)) continue;
      if (what == What::kAdd && entry.value.is_list()) {
        for (const auto& item : entry.value.items) read_value(entry.name, item, what);
      } else {
        read_value(entry.name, entry.value, what);
      }
    }
  }

  void read_value(const std::string& name, const config::Node& node, What what) {
    if (node.kind != config::Node::Kind::kScalar && !node.is_null()) {
      faults_.add(node,
                  what == What::kAdd ? "write a value or a list of values" : "write one value");
      return;
    }
    auto value = Template::parse(node.scalar);
    if (!value) {
      faults_.add(node, value.error().detail);
      return;
    }
    if (is_request_ && iequals(name, "host")) {
      if (value->is_literal() && !http::is_valid_authority(node.scalar)) {
        faults_.add(node, "is no host name; write example.com or example.com:8080");
        return;
      }
      settings_.host.push_back({what, HeaderId::kHost, name, std::move(*value)});
      return;
    }
    changes_.push_back({what, http::header_id(name), name, std::move(*value)});
  }

  bool check_name(const config::Node& at, std::string_view name, What what) {
    if (!is_token(name)) {
      faults_.add(at, fmt::format("\"{}\" is no field name (letters, digits and -)", name));
      return false;
    }
    if (is_of_the_hop(name)) {
      faults_.add(at,
                  fmt::format("\"{}\" belongs to one connection; sluice writes it itself", name));
      return false;
    }
    if (iequals(name, "host") && !(is_request_ && what == What::kSet)) {
      faults_.add(at, "Host can only be set, and only in requests");
      return false;
    }
    return true;
  }

  const bool is_request_;
  Settings& settings_;
  Changes& changes_;
  config::Faults& faults_;
};

}  // namespace

std::unique_ptr<filter::FilterFactory> make_headers(const config::Node& settings,
                                                    config::Faults& faults) {
  const size_t before = faults.lines().size();
  Settings read;
  config::MapReader reader(settings, faults);
  const auto* request = reader.child("request");
  const auto* response = reader.child("response");
  reader.finish();
  if (request != nullptr) DirectionReader(true, read, faults).read(*request);
  if (response != nullptr) DirectionReader(false, read, faults).read(*response);
  if (faults.lines().size() != before) return nullptr;
  return std::make_unique<Factory>(std::move(read));
}

}  // namespace sluice::plugins
