#include "plugins/ip_access/ip_access.h"

#include <string>
#include <vector>

#include "proxy/config/address.h"

namespace sluice::plugins {
namespace {

using filter::FilterHost;
using filter::Verdict;

struct Rule {
  bool allows = false;
  bool is_all = false;
  config::Network network;
};

class Factory;

class IpAccess : public filter::Filter {
 public:
  explicit IpAccess(const Factory& factory) : factory_(factory) {}
  Verdict on_request(FilterHost& host, http::RequestHead& head) override;

 private:
  const Factory& factory_;
};

class Factory : public filter::FilterFactory {
 public:
  explicit Factory(std::vector<Rule> rules) : rules_(std::move(rules)) {
    for (const auto& rule : rules_) else_allow_ = else_allow_ && !rule.allows;
  }
  std::unique_ptr<filter::Filter> make() const override {
    return std::make_unique<IpAccess>(*this);
  }
  std::string_view name() const override { return "ip_access"; }

  bool allows(std::string_view client) const {
    const auto address = config::parse_ip(client);
    for (const auto& rule : rules_) {
      if (rule.is_all || (address && rule.network.contains(*address))) return rule.allows;
    }
    return else_allow_;
  }

 private:
  const std::vector<Rule> rules_;
  bool else_allow_ = true;
};

Verdict IpAccess::on_request(FilterHost& host, http::RequestHead&) {
  if (factory_.allows(host.client_address())) return Verdict::kContinue;
  http::ResponseHead refusal;
  refusal.status = 403;
  refusal.headers.add(http::HeaderId::kContentType, "text/plain; charset=utf-8");
  host.answer(std::move(refusal), "Forbidden\n");
  return Verdict::kAnswered;
}

void read_rule(const config::Node& node, bool allows, std::vector<Rule>& rules,
               config::Faults& faults) {
  if (node.kind != config::Node::Kind::kScalar) {
    faults.add(node, "write a network (10.0.0.0/8), an address or \"all\"");
    return;
  }
  Rule rule{allows, node.scalar == "all", {}};
  if (!rule.is_all) {
    const auto network = config::parse_network(node.scalar);
    if (!network) {
      faults.add(node, network.error().detail);
      return;
    }
    rule.network = *network;
  }
  rules.push_back(rule);
}

// A list, or a single one.
void read_list(const config::Node* node, bool allows, std::vector<Rule>& rules,
               config::Faults& faults) {
  if (node == nullptr) return;
  if (!node->is_list()) return read_rule(*node, allows, rules, faults);
  for (const auto& item : node->items) read_rule(item, allows, rules, faults);
}

// [ { allow: 10.0.0.0/8 }, { deny: all } ]
void read_rules(const config::Node& node, std::vector<Rule>& rules, config::Faults& faults) {
  if (!node.is_list()) {
    faults.add(node, "write a list: [ { allow: 10.0.0.0/8 }, { deny: all } ]");
    return;
  }
  for (const auto& item : node.items) {
    const bool is_one = item.is_map() && item.entries.size() == 1;
    const std::string word = is_one ? item.entries[0].name : std::string{};
    if (word != "allow" && word != "deny") {
      faults.add(item, "each rule is one of { allow: NETWORK } and { deny: NETWORK }");
      continue;
    }
    read_rule(item.entries[0].value, word == "allow", rules, faults);
  }
}

}  // namespace

std::unique_ptr<filter::FilterFactory> make_ip_access(const config::Node& settings,
                                                      config::Faults& faults) {
  const size_t before = faults.lines().size();
  config::MapReader reader(settings, faults);
  const config::Node* ordered = reader.child("rules");
  const config::Node* denied = reader.child("deny");
  const config::Node* allowed = reader.child("allow");
  reader.finish();
  std::vector<Rule> rules;
  if (ordered != nullptr && (denied != nullptr || allowed != nullptr)) {
    faults.add(*ordered, "give either `rules`, or `allow` and `deny`");
  }
  if (ordered != nullptr) read_rules(*ordered, rules, faults);
  read_list(denied, false, rules, faults);
  read_list(allowed, true, rules, faults);
  if (faults.lines().size() != before) return nullptr;
  if (rules.empty()) {
    faults.add(settings, "says nobody; give `allow`, `deny` or `rules`");
    return nullptr;
  }
  return std::make_unique<Factory>(std::move(rules));
}

}  // namespace sluice::plugins
