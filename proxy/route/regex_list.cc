#include "proxy/route/regex_list.h"

#include <algorithm>
#include <string>
#include <utility>

#include "proxy/route/path_index.h"

namespace sluice::route {
namespace {

constexpr size_t kFew = 8;

// Bytes, not characters: a path need not be UTF-8, and what "." or a line end would not match could
// slip past a route that guards something.
re2::RE2::Options options() {
  re2::RE2::Options options;
  options.set_encoding(re2::RE2::Options::EncodingLatin1);
  options.set_dot_nl(true);
  options.set_log_errors(false);
  return options;
}

re2::StringPiece piece(std::string_view text) {
  return {text.data(), text.size()};
}

}  // namespace

Status RegexList::add(std::string_view pattern, const Route& route) {
  auto expression = std::make_unique<const re2::RE2>(piece(pattern), options());
  if (!expression->ok()) return fail(ErrorCode::kInvalid, Side::kUs, expression->error());
  entries_.push_back({std::move(expression), &route});
  return {};
}

void RegexList::seal() {
  if (entries_.size() <= kFew) return;
  auto set = std::make_unique<re2::RE2::Set>(options(), re2::RE2::ANCHOR_BOTH);
  for (const Entry& entry : entries_) set->Add(entry.expression->pattern(), nullptr);
  if (set->Compile()) set_ = std::move(set);  // too large for a set: one by one still works
}

bool RegexList::offer(std::string_view path, Candidates& candidates) const {
  if (!set_) return offer_each(path, candidates);
  re2::RE2::Set::ErrorInfo error{re2::RE2::Set::kNoError};
  // First only whether: that allocates nothing, and mostly the answer is no.
  if (!set_->Match(piece(path), nullptr, &error) && error.kind == re2::RE2::Set::kNoError)
    return false;
  std::vector<int> matches;
  if (error.kind == re2::RE2::Set::kNoError) set_->Match(piece(path), &matches, &error);
  if (error.kind != re2::RE2::Set::kNoError) return offer_each(path, candidates);
  std::sort(matches.begin(), matches.end());
  return std::any_of(matches.begin(), matches.end(), [this, &candidates](int i) {
    return candidates.on_candidate(*entries_[static_cast<size_t>(i)].route);
  });
}

bool RegexList::offer_each(std::string_view path, Candidates& candidates) const {
  return std::any_of(entries_.begin(), entries_.end(), [path, &candidates](const Entry& entry) {
    return re2::RE2::FullMatch(piece(path), *entry.expression) &&
           candidates.on_candidate(*entry.route);
  });
}

}  // namespace sluice::route
