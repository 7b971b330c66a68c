// Bench: a plugin under test: its settings from YAML text, one filter, and the exchange it stands
// in.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "proxy/config/node.h"
#include "proxy/filter/filter.h"
#include "proxy/filter/registry.h"
#include "tests/unit/filter/fake_host.h"

namespace sluice::plugins {

struct Bench {
  Bench(filter::MakeFactory make, const std::string& yaml) {
    size_t budget = 1 << 20;
    const auto node = config::parse_yaml(yaml, "test.yaml", budget, faults);
    if (node) factory = make(*node, faults);
    if (factory != nullptr) one = factory->make();
    host.head.method = "GET";
    host.head.target = "/a%0d%0ab?q=1";
    host.head.path = "/a\r\nb";
    host.head.authority = "example.com:8080";
    host.head.headers.add("Host", "example.com:8080");
  }

  filter::Verdict on_request() { return one->on_request(host, host.head); }
  filter::Verdict on_response() { return one->on_response(host, response); }
  std::string asked(std::string_view name) const {
    return std::string{host.head.headers.get(name)};
  }
  std::string said(std::string_view name) const { return std::string{response.headers.get(name)}; }
  // All faults in one text.
  std::string wrong() const {
    std::string text;
    for (const auto& line : faults.lines()) (text += line) += '\n';
    return text;
  }

  config::Faults faults;
  std::unique_ptr<filter::FilterFactory> factory;
  std::unique_ptr<filter::Filter> one;
  filter::FakeHost host;
  http::ResponseHead response;
};

}  // namespace sluice::plugins
