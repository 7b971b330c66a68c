#include "proxy/base/text.h"

#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

using namespace sluice;

TEST_CASE("text: only ASCII letters have a case") {
  CHECK(iequals("Content-Length", "cONTENT-lENGTH"));
  CHECK_FALSE(iequals("a", "ab"));
  CHECK_FALSE(iequals("[", "{"));  // 0x20 apart, like letters
  CHECK_FALSE(iequals("@", "`"));
  CHECK_FALSE(iequals("\xc4", "\xe4"));
  CHECK(to_lower("AZaz[@\xc4") == "azaz[@\xc4");
}

TEST_CASE("text: hex digits") {
  for (int c = 0; c < 256; ++c) {
    const auto at = std::string_view("0123456789abcdefABCDEF").find(static_cast<char>(c));
    const int wanted = c == 0 || at == std::string_view::npos ? -1
                       : at >= 16                             ? static_cast<int>(at) - 6
                                                              : static_cast<int>(at);
    REQUIRE(hex_value(static_cast<char>(c)) == wanted);
  }
}

TEST_CASE("text: optional white space is SP and HTAB only") {
  CHECK(trim_ows(" \t a b\t ") == "a b");
  CHECK(trim_ows("\va\n") == "\va\n");
  CHECK(trim_ows(" \t ").empty());
  CHECK(trim_ows("").empty());
}

TEST_CASE("text: decimals are digits, all of them, and fit") {
  CHECK(parse_decimal("0") == 0);
  CHECK(parse_decimal("0012") == 12);
  CHECK(parse_decimal("18446744073709551615") == UINT64_MAX);
  for (const char* wrong : {"", "18446744073709551616", "99999999999999999999", "+1", "-1", " 1",
                            "1 ", "1.0", "0x1", "١"}) {
    CAPTURE(wrong);
    CHECK_FALSE(parse_decimal(wrong));
  }
}

TEST_CASE("text: split keeps empty parts") {
  using Parts = std::vector<std::string_view>;
  CHECK(split("a,b", ',') == Parts{"a", "b"});
  CHECK(split(",a,,", ',') == Parts{"", "a", "", ""});
  CHECK(split("", ',') == Parts{""});
}

TEST_CASE("text: a comma list is its trimmed elements, empty ones left out") {
  std::string seen;
  for_each_element(", a ,,\tb c\t, ", [&seen](std::string_view e) { (seen += e) += ';'; });
  CHECK(seen == "a;b c;");
  CHECK(list_has("keep-alive, Close", "close"));
  CHECK_FALSE(list_has("keep-alive, closed", "close"));
  CHECK_FALSE(list_has("", "close"));
  CHECK_FALSE(list_has(",", ""));
}

TEST_CASE("text: the distance is the letters to change, add or drop") {
  CHECK(edit_distance("listener", "listeners") == 1);
  CHECK(edit_distance("adress", "address") == 1);
  CHECK(edit_distance("kitten", "sitting") == 3);
  CHECK(edit_distance("", "abc") == 3);
  CHECK(edit_distance("abc", "") == 3);
  CHECK(edit_distance("same", "same") == 0);
}

TEST_CASE("text: what is escaped is one line of plain characters") {
  CHECK(escaped("plain, \"text\"") == "plain, \"text\"");
  CHECK(escaped("a\\n\n\tb") == "a\\\\n\\n\\tb");
  CHECK(escaped(std::string_view("\0\x1b[31m\x7f\xff", 8)) == "\\x00\\x1b[31m\\x7f\\xff");
  CHECK(escaped("").empty());
}
