#include "proxy/upstream/endpoint_set.h"

#include <unordered_set>
#include <utility>

namespace sluice::upstream {
namespace {

class Gathering {
 public:
  explicit Gathering(const LiveOrders& orders) : orders_(orders) {}

  void add(Member member) {
    if (members_.size() >= kMostMembers || orders_.removed.count(member.name) > 0) return;
    if (!known_.insert(member.name).second) return;
    member.drained = orders_.drained.count(member.name) > 0;
    const auto weight = orders_.weights.find(member.name);
    if (weight != orders_.weights.end()) member.weight = weight->second;
    members_.push_back(std::move(member));
  }
  std::vector<Member> take() { return std::move(members_); }

 private:
  const LiveOrders& orders_;
  std::unordered_set<std::string> known_;
  std::vector<Member> members_;
};

}  // namespace

std::vector<Member> members_of(const std::vector<config::EndpointSource>& sources,
                               const FindNames& names, const LiveOrders& orders) {
  Gathering all(orders);
  for (const config::EndpointSource& source : sources) {
    if (source.kind == config::EndpointSource::Kind::kAddress) {
      const auto address = net::SocketAddress::from(source.address);
      if (!address) continue;
      all.add({*address, address->text(), source.weight, source.priority, false, "file"});
      continue;
    }
    const std::vector<Found>* found = names(source);
    if (found == nullptr) continue;
    const bool own_weight = source.kind == config::EndpointSource::Kind::kSrv;
    for (const Found& each : *found) {
      all.add({each.address, each.name, own_weight ? each.weight : source.weight,
               source.priority + each.group, false, text_of(source)});
    }
  }
  for (const Member& added : orders.added) all.add(added);
  return all.take();
}

}  // namespace sluice::upstream
