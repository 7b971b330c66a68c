#include "proxy/net/proc_net.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "proxy/base/text.h"

namespace sluice::net {
namespace {

constexpr uint64_t kListen = 0x0a;            // TCP_LISTEN
constexpr uint64_t kAcceptFlag = 0x00010000;  // __SO_ACCEPTCON
constexpr uint64_t kStream = 1;

std::string_view next_word(std::string_view& text) {
  const size_t begin = text.find_first_not_of(' ');
  if (begin == std::string_view::npos) return text = {};
  const size_t end = std::min(text.find(' ', begin), text.size());
  const std::string_view word = text.substr(begin, end - begin);
  text.remove_prefix(end);
  return word;
}

std::optional<uint64_t> parse_hex(std::string_view text) {
  if (text.empty() || text.size() > 16) return std::nullopt;
  uint64_t value = 0;
  for (const char c : text) {
    const int digit = hex_value(c);
    if (digit < 0) return std::nullopt;
    value = value << 4 | static_cast<uint64_t>(digit);
  }
  return value;
}

// Words of 32 bits, each printed as the number this machine reads in it: "0100007F" is 127.0.0.1
// where the lowest byte comes first.
std::optional<IpPort> parse_address(std::string_view text) {
  const size_t colon = text.find(':');
  if (colon != 8 && colon != 32) return std::nullopt;
  const auto port = parse_hex(text.substr(colon + 1));
  if (!port || *port > UINT16_MAX) return std::nullopt;
  IpPort out;
  out.port = static_cast<uint16_t>(*port);
  if (colon == 8) out.ip[10] = out.ip[11] = 0xff;
  size_t at = colon == 8 ? 12 : 0;
  for (size_t i = 0; i < colon; i += 8, at += 4) {
    const auto word = parse_hex(text.substr(i, 8));
    if (!word) return std::nullopt;
    const auto number = static_cast<uint32_t>(*word);
    std::memcpy(out.ip.data() + at, &number, 4);
  }
  return out;
}

// Calls visit(line) for each line until it says that it is enough.
template <typename Visit>
void each_line(int table, Visit visit) {
  if (::lseek(table, 0, SEEK_SET) != 0) return;
  std::array<char, 16 * 1024> room;
  std::string
      rest;  // the start of a line whose end was not yet read; a row is 150 bytes, a path 108
  for (;;) {
    const ssize_t got = ::read(table, room.data(), room.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return;
    std::string_view bytes{room.data(), static_cast<size_t>(got)};
    for (size_t end = bytes.find('\n'); end != std::string_view::npos; end = bytes.find('\n')) {
      const std::string_view line = bytes.substr(0, end);
      bytes.remove_prefix(end + 1);
      if (!rest.empty()) rest.append(line);
      const bool enough = visit(rest.empty() ? line : std::string_view{rest});
      rest.clear();
      if (enough) return;
    }
    rest.append(bytes);
    if (rest.size() > room.size()) return;
  }
}

}  // namespace

std::optional<ProcTcpRow> parse_proc_tcp(std::string_view line) {
  const std::string_view number = next_word(line);
  if (!number.ends_with(':')) return std::nullopt;
  const auto local = parse_address(next_word(line));
  next_word(line);
  const auto state = parse_hex(next_word(line));
  const std::string_view queues = next_word(line);
  const size_t colon = queues.find(':');
  if (!local || !state || colon == std::string_view::npos) return std::nullopt;
  const auto received = parse_hex(queues.substr(colon + 1));
  if (!received) return std::nullopt;
  return ProcTcpRow{*local, *state == kListen, static_cast<uint32_t>(*received)};
}

bool takes(const IpPort& listener, const IpPort& asked) {
  if (listener.port != asked.port) return false;
  if (listener.ip == asked.ip || listener.ip == std::array<uint8_t, 16>{}) return true;
  IpPort any_v4;
  any_v4.ip[10] = any_v4.ip[11] = 0xff;
  return asked.is_v4() && listener.ip == any_v4.ip;
}

std::optional<ProcUnixRow> parse_proc_unix(std::string_view line) {
  const std::string_view number = next_word(line);
  if (!number.ends_with(':')) return std::nullopt;
  next_word(line);  // references
  next_word(line);  // protocol
  const auto flags = parse_hex(next_word(line));
  const auto type = parse_hex(next_word(line));
  next_word(line);  // state: of a listener "unconnected", as of any other
  const auto inode = parse_decimal(next_word(line));
  if (!flags || !type || !inode) return std::nullopt;
  ProcUnixRow row;
  row.listens = (*flags & kAcceptFlag) != 0 && *type == kStream;
  row.inode = static_cast<uint32_t>(*inode);
  if (!line.empty()) row.path = line.substr(1);  // one space before it; it may hold others
  return row;
}

std::optional<ProcTcpRow> find_proc_tcp(int table, const IpPort& asked) {
  std::optional<ProcTcpRow> found;
  bool is_heading = true;
  each_line(table, [&](std::string_view line) {
    if (std::exchange(is_heading, false)) return false;
    const auto row = parse_proc_tcp(line);
    // The kernel walks listeners first; thousands of connections behind them are not read.
    if (!row || !row->listens) return true;
    if (takes(row->local, asked)) found = row;
    return found.has_value();
  });
  return found;
}

std::optional<uint32_t> find_proc_unix(int table, std::string_view path, uint32_t inode) {
  std::optional<uint32_t> found;
  each_line(table, [&](std::string_view line) {
    const auto row = parse_proc_unix(line);
    if (!row || !row->listens) return false;
    if (inode != 0 ? row->inode == inode : row->path == path) found = row->inode;
    return found.has_value();
  });
  return found;
}

}  // namespace sluice::net
