#include "proxy/exchange/forwarding.h"

#include <array>
#include <charconv>
#include <cstring>

#include "proxy/base/text.h"
#include "proxy/config/address.h"
#include "proxy/exchange/request_id.h"
#include "proxy/http/framing.h"

namespace sluice::exchange {
namespace {

using http::HeaderId;
using http::Headers;

bool starts_with_lower(std::string_view name, std::string_view prefix) {
  if (name.size() < prefix.size()) return false;
  for (size_t i = 0; i < prefix.size(); ++i) {
    if (ascii_lower(name[i]) != prefix[i]) return false;
  }
  return true;
}

// Never wanted, whoever sent it.
bool is_unsafe(const Headers::Field& field) {
  switch (field.id) {
    case HeaderId::kProxy:
    case HeaderId::kXAccelBuffering:
    case HeaderId::kXAccelRedirect: return true;
    case HeaderId::kOther:
      return field.name.find('_') != std::string_view::npos ||
             starts_with_lower(field.name, "x-accel-");
    default: return false;
  }
}

constexpr std::string_view kCertificatePrefix = "x-client-cert-";

// Only a trusted proxy may say so. What X-Forwarded-* we make ourselves is not asked for here.
bool is_spoofable(const Headers::Field& field) {
  if (field.id == HeaderId::kForwarded) return true;
  if (field.id != HeaderId::kOther || field.name.empty()) return false;
  switch (ascii_lower(field.name[0])) {
    case 'x':
      return starts_with_lower(field.name, "x-forwarded-") || iequals(field.name, "x-scheme") ||
             iequals(field.name, "x-url-scheme") ||
             starts_with_lower(field.name, kCertificatePrefix);
    case 'f': return iequals(field.name, "front-end-https");
    default: return false;
  }
}

bool is_unwanted(const Headers::Field& field, bool trusted) {
  return is_unsafe(field) || (!trusted && is_spoofable(field));
}

// Where the fields we care about are, found in one pass; the first of each name, and how many.
struct Survey {
  struct Seen {
    Headers::Field* first = nullptr;
    uint32_t count = 0;
    bool is_one() const { return count == 1; }
    std::string_view value() const { return first->value; }
  };
  Seen forwarded_for, proto, host, port, forwarded, real_ip, request_id, via, max_forwards;
  uint32_t unwanted = 0;
};

Survey::Seen* slot_for(Survey& survey, HeaderId id) {
  switch (id) {
    case HeaderId::kXForwardedFor: return &survey.forwarded_for;
    case HeaderId::kXForwardedProto: return &survey.proto;
    case HeaderId::kXForwardedHost: return &survey.host;
    case HeaderId::kXForwardedPort: return &survey.port;
    case HeaderId::kForwarded: return &survey.forwarded;
    case HeaderId::kXRealIp: return &survey.real_ip;
    case HeaderId::kXRequestId: return &survey.request_id;
    case HeaderId::kVia: return &survey.via;
    case HeaderId::kMaxForwards: return &survey.max_forwards;
    default: return nullptr;
  }
}

Survey survey_of(Headers& headers, bool trusted) {
  Survey survey;
  for (auto& field : headers) {
    if (Survey::Seen* seen = slot_for(survey, field.id)) {
      if (seen->count++ == 0) seen->first = &field;
    }
    if (is_unwanted(field, trusted)) ++survey.unwanted;
  }
  return survey;
}

// All values of `seen`, then `addition`, as one comma list in the arena.
std::string_view continued(Headers& headers, HeaderId id, const Survey::Seen& seen,
                           std::string_view addition) {
  size_t size = addition.size();
  if (seen.is_one()) {
    size += seen.value().size() + 2;
  } else if (seen.count > 1) {
    for (const auto& field : headers) size += field.id == id ? field.value.size() + 2 : 0;
  }
  char* const begin = headers.arena().allocate(size);
  char* at = begin;
  const auto put = [&at](std::string_view text) {
    if (text.empty()) return;
    std::memcpy(at, text.data(), text.size());
    at += text.size();
  };
  const auto put_element = [&put](std::string_view text) {
    if (text.empty()) return;  // an empty field line is no list element (RFC 9110 §5.6.1)
    put(text);
    put(", ");
  };
  if (seen.is_one()) {
    put_element(seen.value());
  } else if (seen.count > 1) {
    for (const auto& field : headers) {
      if (field.id == id) put_element(field.value);
    }
  }
  put(addition);
  return {begin, static_cast<size_t>(at - begin)};
}

// One rewrite: the steps share the head, the hop and what was found.
class Rewrite {
 public:
  Rewrite(const Hop& hop, http::RequestHead& head)
      : hop_(hop), head_(head), headers_(head.headers) {}

  Forwarded run() {
    headers_.reserve(headers_.size() + kMostAdded);  // so that pointers into it stay
    look();
    if (survey_.unwanted > 0) drop_unwanted();
    set_client();
    set_scheme();
    set_host_and_port();
    set_forwarded();
    set_request_id();
    set_via();
    count_down();
    remove_repeated();
    if (hop_.certificate != nullptr) set_certificate(*hop_.certificate);
    return result_;
  }

 private:
  static constexpr size_t kMostAdded = 8;
  static constexpr size_t kMostDigits = 20;

  void look() { survey_ = survey_of(headers_, hop_.trusted); }

  void drop_unwanted() {
    result_.dropped = survey_.unwanted;
    const bool trusted = hop_.trusted;
    headers_.remove_if(
        [trusted](const Headers::Field& field) { return is_unwanted(field, trusted); });
    look();
  }

  // Puts the value where the first of its name is, or at the end.
  void set(HeaderId id, Survey::Seen& seen, std::string_view value) {
    if (seen.first == nullptr) {
      headers_.add_in_place(id, http::name_of(id), value);
      return;
    }
    seen.first->value = value;
    if (seen.count > 1) repeated_ = true;
  }
  void remove(HeaderId id, const Survey::Seen& seen) {
    if (seen.first == nullptr) return;
    headers_.remove(id);
    look();  // pointers have moved
  }

  void set_client() {
    auto& seen = survey_.forwarded_for;
    const std::string_view address = headers_.arena().copy(hop_.address);
    result_.client = address;
    if (!hop_.trusted) {
      if (address.empty()) {
        remove(HeaderId::kXForwardedFor, seen);
        remove(HeaderId::kXRealIp, survey_.real_ip);
        return;
      }
      set(HeaderId::kXForwardedFor, seen, address);
    } else if (seen.first == nullptr) {
      if (!address.empty()) set(HeaderId::kXForwardedFor, seen, address);
    } else {
      const bool whole = address.empty() && seen.is_one();
      const auto list =
          whole ? seen.value() : continued(headers_, HeaderId::kXForwardedFor, seen, address);
      // Walks without what was appended: that is the hop itself, known to be trusted.
      const auto believed = believed_client(hop_, list.substr(0, list.size() - address.size()));
      if (believed.data() != hop_.address.data()) result_.client = believed;
      set(HeaderId::kXForwardedFor, seen, list);
    }
    if (result_.client.empty()) {
      remove(HeaderId::kXRealIp, survey_.real_ip);
    } else {
      set(HeaderId::kXRealIp, survey_.real_ip, result_.client);
    }
  }

  void set_scheme() {
    auto& seen = survey_.proto;
    result_.secure = hop_.secure;
    if (hop_.trusted && seen.is_one()) {
      const auto said = seen.value();
      scheme_was_said_ = said == "https" || said == "http";
      if (scheme_was_said_) {
        result_.secure = said == "https";
        return;
      }
    }
    set(HeaderId::kXForwardedProto, seen, result_.secure ? "https" : "http");
  }

  void set_host_and_port() {
    auto& host = survey_.host;
    const bool keep = hop_.trusted && host.is_one() && http::is_valid_authority(host.value());
    if (!keep && head_.authority.empty()) {
      remove(HeaderId::kXForwardedHost, host);
    } else if (!keep) {
      set(HeaderId::kXForwardedHost, host, head_.authority);
    }
    auto& port = survey_.port;
    if (hop_.trusted && port.is_one()) {
      const auto number = parse_decimal(port.value());
      if (number && *number > 0 && *number <= 65535) return;
    }
    // The proxy in front said the scheme but no port: ours is not the one its client called.
    if (scheme_was_said_) {
      set(HeaderId::kXForwardedPort, port, result_.secure ? "443" : "80");
    } else if (hop_.local_port != 0) {
      set(HeaderId::kXForwardedPort, port, decimal(hop_.local_port));
    } else {
      remove(HeaderId::kXForwardedPort, port);
    }
  }

  void set_forwarded() {
    auto& seen = survey_.forwarded;
    if (seen.first == nullptr) return;  // from the untrusted it is gone already
    char node[64] = "for=unknown";
    size_t size = std::strlen(node);
    if (!hop_.address.empty() && hop_.address.size() < 48) {
      // RFC 7239 §6: IPv6 in brackets, and so in quotes.
      const bool is_ip6 = hop_.address.find(':') != std::string_view::npos;
      size = 4;
      const auto put = [&node, &size](std::string_view text) {
        std::memcpy(node + size, text.data(), text.size());
        size += text.size();
      };
      if (is_ip6) put("\"[");
      put(hop_.address);
      if (is_ip6) put("]\"");
    }
    set(HeaderId::kForwarded, seen,
        continued(headers_, HeaderId::kForwarded, seen, std::string_view{node, size}));
  }

  void set_request_id() {
    auto& seen = survey_.request_id;
    if (hop_.trusted && seen.is_one() && is_sane_request_id(seen.value())) {
      result_.request_id = seen.value();
      return;
    }
    char* const text = headers_.arena().allocate(kRequestIdSize);
    make_request_id(text);
    result_.request_id = {text, kRequestIdSize};
    set(HeaderId::kXRequestId, seen, result_.request_id);
  }

  void set_via() {
    std::string_view mine = "1.1 sluice";
    if (head_.version == http::Version::kHttp10) mine = "1.0 sluice";
    if (head_.version == http::Version::kHttp2) mine = "2.0 sluice";
    auto& seen = survey_.via;
    set(HeaderId::kVia, seen,
        seen.first == nullptr ? mine : continued(headers_, HeaderId::kVia, seen, mine));
  }

  // RFC 9110 §7.6.2: only OPTIONS and TRACE are bound by it.
  void count_down() {
    auto& seen = survey_.max_forwards;
    if (seen.first == nullptr || !(head_.is("OPTIONS") || head_.is("TRACE"))) return;
    const auto left = parse_decimal(seen.value());
    if (!left) return;
    if (*left == 0) {
      result_.is_last = true;
      return;
    }
    set(HeaderId::kMaxForwards, seen, decimal(*left - 1));
  }

  // What set() left behind of fields that came more than once.
  void remove_repeated() {
    if (!repeated_) return;
    Survey met;
    headers_.remove_if([&met](const Headers::Field& field) {
      Survey::Seen* slot = slot_for(met, field.id);
      return slot != nullptr && slot->count++ > 0;
    });
  }

  // The last step: pointers into the headers are no longer needed. The texts outlive the head.
  void set_certificate(const net::CertificateFacts& facts) {
    headers_.remove_if([](const Headers::Field& field) {
      return field.id == HeaderId::kOther && starts_with_lower(field.name, kCertificatePrefix);
    });
    headers_.add_in_place(HeaderId::kOther, "X-Client-Cert-Subject", facts.subject);
    if (!facts.names.empty()) {
      headers_.add_in_place(HeaderId::kOther, "X-Client-Cert-San", facts.names);
    }
    headers_.add_in_place(HeaderId::kOther, "X-Client-Cert-Fingerprint", facts.fingerprint);
  }

  std::string_view decimal(uint64_t number) {
    char* const begin = headers_.arena().allocate(kMostDigits);
    char* const end = std::to_chars(begin, begin + kMostDigits, number).ptr;
    return {begin, static_cast<size_t>(end - begin)};
  }

  const Hop& hop_;
  http::RequestHead& head_;
  Headers& headers_;
  Survey survey_;
  Forwarded result_;
  bool scheme_was_said_ = false;
  bool repeated_ = false;
};

bool is_trusted(const std::array<uint8_t, 16>& address, std::span<const config::Network> networks) {
  for (const auto& network : networks) {
    if (network.contains(address)) return true;
  }
  return false;
}

// "203.0.113.7", "203.0.113.7:4711", "2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:4711", also in
// double quotes → the address alone. Whether it is one is for parse_ip to say.
std::string_view without_port(std::string_view element) {
  if (element.size() >= 2 && element.front() == '"' && element.back() == '"') {
    element = element.substr(1, element.size() - 2);
  }
  if (!element.empty() && element.front() == '[') {
    const auto end = element.find(']');
    if (end == std::string_view::npos) return {};
    const auto rest = element.substr(end + 1);
    if (!rest.empty() && (rest[0] != ':' || !parse_decimal(rest.substr(1)))) return {};
    return element.substr(1, end - 1);
  }
  const auto colon = element.find(':');
  const bool has_port = colon != std::string_view::npos && colon == element.rfind(':') &&
                        parse_decimal(element.substr(colon + 1)).has_value();
  return has_port ? element.substr(0, colon) : element;
}

}  // namespace

std::string_view believed_client(const Hop& hop, std::string_view forwarded_for) {
  std::string_view believed = hop.address;
  if (!hop.trusted) return believed;
  for (int hops = 0; hops < kMostHops && !forwarded_for.empty();) {
    const auto comma = forwarded_for.rfind(',');
    const bool is_first = comma == std::string_view::npos;
    const auto element = trim_ows(is_first ? forwarded_for : forwarded_for.substr(comma + 1));
    forwarded_for = is_first ? std::string_view{} : forwarded_for.substr(0, comma);
    if (element.empty()) continue;  // RFC 9110 §5.6.1: empty list elements mean nothing
    const auto text = without_port(element);
    const auto address = config::parse_ip(text);
    if (!address) break;
    believed = text;
    if (!is_trusted(*address, hop.trusted_proxies)) break;
    ++hops;
  }
  return believed;
}

Forwarded rewrite_request(const Hop& hop, http::RequestHead& head) {
  return Rewrite(hop, head).run();
}

AccelOrders take_accel_orders(http::ResponseHead& head) {
  AccelOrders orders;
  bool any = false;
  for (const auto& field : head.headers) {
    if (field.id == HeaderId::kXAccelRedirect) {
      if (orders.redirect.empty()) orders.redirect = field.value;
      any = true;
    } else if (field.id == HeaderId::kXAccelBuffering) {
      if (iequals(field.value, "no")) orders.buffering = false;
      if (iequals(field.value, "yes")) orders.buffering = true;
      any = true;
    } else if (field.id == HeaderId::kOther && starts_with_lower(field.name, "x-accel-")) {
      any = true;
    }
  }
  if (any) {
    head.headers.remove_if([](const http::Headers::Field& field) {
      return field.id == HeaderId::kXAccelRedirect || field.id == HeaderId::kXAccelBuffering ||
             (field.id == HeaderId::kOther && starts_with_lower(field.name, "x-accel-"));
    });
  }
  return orders;
}

}  // namespace sluice::exchange
