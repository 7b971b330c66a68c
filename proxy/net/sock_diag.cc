#include "proxy/net/sock_diag.h"

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace sluice::net {
namespace {

constexpr size_t kRoom = 32 * 1024;  // the kernel fills no more per message of a dump
constexpr int kMostReads = 4096;     // of one dump: a table that grows while it is read ends, too

template <typename T>
std::string_view bytes_of(const T& value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

inet_diag_req_v2 tcp_request(const IpPort& at) {
  inet_diag_req_v2 request{};
  request.sdiag_protocol = IPPROTO_TCP;
  request.id.idiag_sport = htons(at.port);
  request.id.idiag_cookie[0] = INET_DIAG_NOCOOKIE;
  request.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
  if (at.is_v4()) {
    request.sdiag_family = AF_INET;
    std::memcpy(request.id.idiag_src, at.ip.data() + 12, 4);
  } else {
    request.sdiag_family = AF_INET6;
    std::memcpy(request.id.idiag_src, at.ip.data(), at.ip.size());
  }
  return request;
}

unix_diag_req unix_request(uint32_t inode) {
  unix_diag_req request{};
  request.sdiag_family = AF_UNIX;
  request.udiag_states = 1U << TCP_LISTEN;
  request.udiag_ino = inode;
  request.udiag_show = UDIAG_SHOW_NAME | UDIAG_SHOW_VFS | UDIAG_SHOW_RQLEN;
  request.udiag_cookie[0] = static_cast<uint32_t>(INET_DIAG_NOCOOKIE);
  request.udiag_cookie[1] = static_cast<uint32_t>(INET_DIAG_NOCOOKIE);
  return request;
}

// What a unix row says of itself in its attributes.
struct UnixRow {
  SockDiag::Row row;
  bool listens = false;
  bool has_file = false;
  uint64_t device = 0;
  uint64_t file = 0;
  std::string_view path;
};

UnixRow read_unix(const nlmsghdr& head) {
  UnixRow out;
  const auto* said = static_cast<const unix_diag_msg*>(NLMSG_DATA(&head));
  out.row.inode = said->udiag_ino;
  out.listens = said->udiag_state == TCP_LISTEN;
  auto left = static_cast<int>(head.nlmsg_len - NLMSG_LENGTH(sizeof *said));
  const auto* attribute = reinterpret_cast<const rtattr*>(said + 1);
  for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left)) {
    const void* data = RTA_DATA(attribute);
    const size_t size = RTA_PAYLOAD(attribute);
    if (attribute->rta_type == UNIX_DIAG_RQLEN && size >= sizeof(unix_diag_rqlen)) {
      const auto* queue = static_cast<const unix_diag_rqlen*>(data);
      out.row.queued = queue->udiag_rqueue;
      out.row.limit = queue->udiag_wqueue;
    } else if (attribute->rta_type == UNIX_DIAG_VFS && size >= sizeof(unix_diag_vfs)) {
      const auto* file = static_cast<const unix_diag_vfs*>(data);
      out.has_file = true;
      out.file = file->udiag_vfs_ino;
      out.device = file->udiag_vfs_dev;
    } else if (attribute->rta_type == UNIX_DIAG_NAME) {
      out.path = {static_cast<const char*>(data), size};
      while (out.path.ends_with('\0')) out.path.remove_suffix(1);
    }
  }
  return out;
}

// The kernel's file number is 32 bits here. A layered file system shows another device than the one
// the socket is on; then the path has to agree.
bool is_same_file(const UnixRow& row, uint64_t device, uint64_t file, std::string_view path) {
  if (!row.has_file) return row.path == path;
  return row.file == (file & UINT32_MAX) && (row.device == device || row.path == path);
}

bool is_ours(const nlmsghdr& head, uint32_t sequence) {
  return head.nlmsg_seq == sequence;
}

}  // namespace

Result<SockDiag> SockDiag::open() {
  Fd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG));
  if (!fd.is_open()) return fail_errno(errno, Side::kUs, "netlink socket");
  return SockDiag(std::move(fd));
}

bool SockDiag::send(std::string_view request, uint16_t flags) {
  std::array<char, NLMSG_SPACE(sizeof(inet_diag_req_v2))> message{};
  nlmsghdr head{};
  head.nlmsg_len = static_cast<uint32_t>(NLMSG_LENGTH(request.size()));
  head.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  head.nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | flags);
  head.nlmsg_seq = ++sequence_;
  std::memcpy(message.data(), &head, sizeof head);
  std::memcpy(message.data() + NLMSG_HDRLEN, request.data(), request.size());
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  const ssize_t sent = ::sendto(fd_.get(), message.data(), head.nlmsg_len, 0,
                                reinterpret_cast<const sockaddr*>(&kernel), sizeof kernel);
  return sent == static_cast<ssize_t>(head.nlmsg_len);
}

ssize_t SockDiag::receive(char* into, size_t room) {
  ssize_t got = 0;
  do {
    got = ::recv(fd_.get(), into, room, MSG_DONTWAIT);
  } while (got < 0 && errno == EINTR);
  return got;
}

SockDiag::Answer SockDiag::find_tcp(const SocketAddress& address, Row& row) {
  return ask_tcp(bytes_of(tcp_request(address.ip_port())), Sought::kListener, row);
}

SockDiag::Answer SockDiag::find_connection(const SocketAddress& theirs, const SocketAddress& ours,
                                           Row& row) {
  inet_diag_req_v2 request = tcp_request(theirs.ip_port());
  const IpPort client = ours.ip_port();
  request.id.idiag_dport = htons(client.port);
  const bool v4 = request.sdiag_family == AF_INET;
  std::memcpy(request.id.idiag_dst, client.ip.data() + (v4 ? 12 : 0), v4 ? 4 : client.ip.size());
  return ask_tcp(bytes_of(request), Sought::kConnection, row);
}

SockDiag::Answer SockDiag::ask_tcp(std::string_view request, Sought sought, Row& row) {
  if (!send(request, 0)) return Answer::kFailed;
  alignas(nlmsghdr) std::array<char, 2048> room;
  for (;;) {
    const ssize_t got = receive(room.data(), room.size());
    if (got < static_cast<ssize_t>(sizeof(nlmsghdr))) return Answer::kFailed;
    const auto* head = reinterpret_cast<const nlmsghdr*>(room.data());
    if (!is_ours(*head, sequence_)) continue;  // of a question that failed half-way
    if (head->nlmsg_type == NLMSG_ERROR) {
      const auto* error = static_cast<const nlmsgerr*>(NLMSG_DATA(head));
      return error->error == -ENOENT ? Answer::kNotFound : Answer::kFailed;
    }
    if (head->nlmsg_len < NLMSG_LENGTH(sizeof(inet_diag_msg))) return Answer::kFailed;
    const auto* said = static_cast<const inet_diag_msg*>(NLMSG_DATA(head));
    // The kernel looks in the order in which it would deliver a packet, whatever state was asked
    // for: a listener is shown where no connection fits.
    const bool listens = said->idiag_state == TCP_LISTEN;
    if (listens != (sought == Sought::kListener)) return Answer::kNotFound;
    row = {said->idiag_rqueue, said->idiag_wqueue, said->idiag_inode,
           said->idiag_state == TCP_ESTABLISHED || said->idiag_state == TCP_SYN_RECV};
    return Answer::kFound;
  }
}

SockDiag::Answer SockDiag::find_unix(uint32_t inode, Row& row) {
  if (!send(bytes_of(unix_request(inode)), 0)) return Answer::kFailed;
  alignas(nlmsghdr) std::array<char, 2048> room;
  for (;;) {
    const ssize_t got = receive(room.data(), room.size());
    if (got < static_cast<ssize_t>(sizeof(nlmsghdr))) return Answer::kFailed;
    const auto* head = reinterpret_cast<const nlmsghdr*>(room.data());
    if (!is_ours(*head, sequence_)) continue;
    if (head->nlmsg_type == NLMSG_ERROR) {
      const auto* error = static_cast<const nlmsgerr*>(NLMSG_DATA(head));
      return error->error == -ENOENT ? Answer::kNotFound : Answer::kFailed;
    }
    if (head->nlmsg_len < NLMSG_LENGTH(sizeof(unix_diag_msg))) return Answer::kFailed;
    const UnixRow found = read_unix(*head);
    if (!found.listens) return Answer::kNotFound;
    row = found.row;
    return Answer::kFound;
  }
}

SockDiag::Answer SockDiag::search_unix(uint64_t device, uint64_t file, std::string_view path,
                                       Row& row) {
  if (!send(bytes_of(unix_request(0)), NLM_F_DUMP)) return Answer::kFailed;
  alignas(nlmsghdr) static thread_local std::array<char, kRoom> room;
  Answer answer = Answer::kNotFound;
  // To the end of the dump, also when it was found: what is left would be the next answer.
  for (int reads = 0; reads < kMostReads; ++reads) {
    const ssize_t got = receive(room.data(), room.size());
    if (got <= 0) return Answer::kFailed;
    auto left = static_cast<uint32_t>(got);
    const auto* head = reinterpret_cast<const nlmsghdr*>(room.data());
    for (; NLMSG_OK(head, left); head = NLMSG_NEXT(head, left)) {
      if (!is_ours(*head, sequence_)) continue;
      if (head->nlmsg_type == NLMSG_DONE) return answer;
      if (head->nlmsg_type == NLMSG_ERROR) return Answer::kFailed;
      if (head->nlmsg_len < NLMSG_LENGTH(sizeof(unix_diag_msg))) continue;
      const UnixRow found = read_unix(*head);
      if (!found.listens || !is_same_file(found, device, file, path)) continue;
      row = found.row;
      answer = Answer::kFound;
    }
  }
  return Answer::kFailed;
}

}  // namespace sluice::net
