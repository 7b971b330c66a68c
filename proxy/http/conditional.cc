#include "proxy/http/conditional.h"

#include "proxy/base/text.h"

namespace sluice::http {
namespace {

bool is_weak(std::string_view tag) {
  return tag.substr(0, 2) == "W/";
}
std::string_view opaque_of(std::string_view tag) {
  return is_weak(tag) ? tag.substr(2) : tag;
}

bool tags_match(std::string_view a, std::string_view b, bool weak_comparison) {
  if (a.empty() || b.empty()) return false;
  if (!weak_comparison && (is_weak(a) || is_weak(b))) return false;
  return opaque_of(a) == opaque_of(b);
}

// Takes one entity-tag (RFC 9110 §8.8.3) from the front; empty when there is none. A comma may be
// part of it, so splitting the list at commas would not do.
std::string_view take_tag(std::string_view& text) {
  const size_t start = is_weak(text) ? 2 : 0;
  if (text.size() < start + 2 || text[start] != '"') return {};
  const auto end = text.find('"', start + 1);
  if (end == std::string_view::npos) return {};
  const auto tag = text.substr(0, end + 1);
  text.remove_prefix(end + 1);
  return tag;
}

// Several lines of a list field are one list (RFC 9110 §5.3).
bool any_line_has(const Headers& request, HeaderId id, std::string_view etag,
                  bool weak_comparison) {
  for (const auto& field : request) {
    if (field.id == id && etag_list_has(field.value, etag, weak_comparison)) return true;
  }
  return false;
}

// A date field that is repeated or no date does not count (RFC 9110 §13.1.3, §13.1.4).
std::optional<UnixTime> single_date(const Headers& request, HeaderId id, UnixTime now) {
  if (request.count(id) != 1) return std::nullopt;
  return parse_http_date(request.get(id), now);
}

}  // namespace

bool etag_list_has(std::string_view list, std::string_view etag, bool weak_comparison) {
  list = trim_ows(list);
  if (list == "*") return true;
  while (!list.empty()) {
    if (list.front() == ',' || list.front() == ' ' || list.front() == '\t') {
      list.remove_prefix(1);
      continue;
    }
    const auto tag = take_tag(list);
    if (tag.empty()) return false;
    const auto after = trim_ows(list);
    if (!after.empty() && after.front() != ',') return false;
    if (tags_match(tag, etag, weak_comparison)) return true;
  }
  return false;
}

Precondition check_preconditions(const Headers& request, const Validators& current, UnixTime now) {
  const auto modified = current.last_modified;
  if (request.has(HeaderId::kIfMatch)) {
    if (!any_line_has(request, HeaderId::kIfMatch, current.etag, false))
      return Precondition::kFailed;
  } else if (const auto since = single_date(request, HeaderId::kIfUnmodifiedSince, now)) {
    if (modified && *modified > *since) return Precondition::kFailed;
  }
  if (request.has(HeaderId::kIfNoneMatch)) {
    const bool same = any_line_has(request, HeaderId::kIfNoneMatch, current.etag, true);
    return same ? Precondition::kNotModified : Precondition::kHolds;
  }
  if (const auto since = single_date(request, HeaderId::kIfModifiedSince, now)) {
    if (modified && *modified <= *since) return Precondition::kNotModified;
  }
  return Precondition::kHolds;
}

bool if_range_holds(const Headers& request, const Validators& current, UnixTime now) {
  const size_t count = request.count(HeaderId::kIfRange);
  if (count == 0) return true;
  if (count > 1) return false;
  auto value = trim_ows(request.get(HeaderId::kIfRange));
  if (value.find('"') != std::string_view::npos) {
    const auto tag = take_tag(value);
    return value.empty() && tags_match(tag, current.etag, false);
  }
  const auto date = parse_http_date(value, now);
  // A date is a strong validator only once the second it names is over (RFC 9110 §8.8.2.2).
  return date && current.last_modified && *date == *current.last_modified && *date + 1 < now;
}

}  // namespace sluice::http
