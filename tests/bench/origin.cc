// The origin of the benchmark: answers every request at once, the size told by the path.
// Keep-alive, pipelining, no bodies in requests. One thread, level-triggered epoll. Links nothing
// of sluice.
//   bench_origin PORT        /128 and anything else: 128 bytes   /100k: 100 KiB   /16m: 16 MiB
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

namespace {

struct Connection {
  std::string in;
  std::string_view out;  // what is left of the answer being sent
  bool close_after = false;
  bool waits_for_room = false;
};

std::string answer(size_t size, std::string_view extra) {
  std::string text = "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n";
  text += extra;
  text += "Content-Length: " + std::to_string(size) + "\r\n\r\n";
  text.append(size, 'x');
  return text;
}

const std::string kSmall = answer(128, ""), kSmallClose = answer(128, "Connection: close\r\n");
const std::string kMiddle = answer(100 * 1024, ""),
                  kMiddleClose = answer(100 * 1024, "Connection: close\r\n");
const std::string kLarge = answer(16 * 1024 * 1024, ""),
                  kLargeClose = answer(16 * 1024 * 1024, "Connection: close\r\n");

int epoll_fd = -1;

void watch(int fd, int operation, uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.fd = fd;
  epoll_ctl(epoll_fd, operation, fd, &event);
}

std::string_view choose(std::string_view head, bool& closes) {
  closes = head.find("onnection: close") != head.npos || head.find("HTTP/1.0") != head.npos;
  if (head.find(" /100k") != head.npos) return closes ? kMiddleClose : kMiddle;
  if (head.find(" /16m") != head.npos) return closes ? kLargeClose : kLarge;
  return closes ? kSmallClose : kSmall;
}

// false: the connection is to be closed.
bool send_some(int fd, Connection& c) {
  while (!c.out.empty()) {
    ssize_t n = send(fd, c.out.data(), c.out.size(), MSG_NOSIGNAL);
    if (n < 0) {
      if (errno != EAGAIN) return false;
      if (!c.waits_for_room) watch(fd, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
      c.waits_for_room = true;
      return true;
    }
    c.out.remove_prefix(static_cast<size_t>(n));
  }
  return !c.close_after;
}

bool serve(int fd, Connection& c) {
  while (c.out.empty()) {
    size_t end = c.in.find("\r\n\r\n");
    if (end == c.in.npos) return true;
    c.out = choose(std::string_view(c.in).substr(0, end + 2), c.close_after);
    c.in.erase(0, end + 4);
    if (!send_some(fd, c)) return false;
  }
  return true;
}

bool on_event(int fd, Connection& c, uint32_t events) {
  if (events & EPOLLOUT) {
    if (!send_some(fd, c)) return false;
    if (c.out.empty() && c.waits_for_room) {
      watch(fd, EPOLL_CTL_MOD, EPOLLIN);
      c.waits_for_room = false;
      if (!serve(fd, c)) return false;
    }
  }
  if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
    char buffer[16 * 1024];
    ssize_t n = recv(fd, buffer, sizeof buffer, 0);
    if (n == 0 || (n < 0 && errno != EAGAIN)) return false;
    if (n > 0) c.in.append(buffer, static_cast<size_t>(n));
    return serve(fd, c);
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: bench_origin PORT\n");
    return 2;
  }
  std::signal(SIGPIPE, SIG_IGN);
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  int on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in local{};
  local.sin_family = AF_INET;
  local.sin_port = htons(static_cast<uint16_t>(std::atoi(argv[1])));
  local.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (bind(listener, reinterpret_cast<sockaddr*>(&local), sizeof local) != 0 ||
      listen(listener, 4096) != 0) {
    std::perror("bench_origin");
    return 1;
  }
  watch(listener, EPOLL_CTL_ADD, EPOLLIN);
  std::unordered_map<int, std::unique_ptr<Connection>> connections;
  for (epoll_event events[256];;) {
    int n = epoll_wait(epoll_fd, events, 256, -1);
    for (int i = 0; i < n; ++i) {
      int fd = events[i].data.fd;
      if (fd == listener) {
        int client = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (client < 0) continue;
        setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        connections[client] = std::make_unique<Connection>();
        watch(client, EPOLL_CTL_ADD, EPOLLIN);
        continue;
      }
      auto found = connections.find(fd);
      if (found == connections.end() || on_event(fd, *found->second, events[i].events)) continue;
      connections.erase(found);
      close(fd);
    }
  }
}
