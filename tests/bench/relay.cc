// The blind relay: accepts, opens one connection to the origin for each client, copies bytes both
// ways and nothing else. What it costs is what any proxy with one connection per client must cost,
// so the benchmark measures against it. One thread, edge-triggered epoll. Links nothing of sluice.
//   bench_relay LISTEN_PORT ORIGIN_PORT
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

namespace {

constexpr size_t kBuffer = 64 * 1024;

// One end of a relayed connection. `waiting` are bytes read from it that the other end did not
// take.
struct End {
  int fd = -1;
  End* other = nullptr;
  std::string waiting;
  bool over = false;      // its FIN was read
  bool readable = false;  // news came while the other end was full
  bool dead = false;      // closed; freed at the end of the tick
};

int epoll_fd = -1;
sockaddr_in origin{};
char buffer[kBuffer];
std::vector<End*> dead;

void watch(int fd, void* owner) {
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  event.data.ptr = owner;
  if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) std::perror("epoll_ctl");
}

void close_both(End& end) {
  if (end.dead) return;
  for (End* e : {&end, end.other}) {
    close(e->fd);
    e->dead = true;
    dead.push_back(e);
  }
}

void set_no_delay(int fd) {
  int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

// Passes on what waits; true when nothing is left.
bool drain(End& from) {
  while (!from.waiting.empty()) {
    ssize_t n = send(from.other->fd, from.waiting.data(), from.waiting.size(), MSG_NOSIGNAL);
    if (n < 0) {
      if (errno != EAGAIN && errno != ENOTCONN) close_both(from);
      return false;
    }
    from.waiting.erase(0, static_cast<size_t>(n));
  }
  return true;
}

void copy(End& from) {
  from.readable = true;
  if (!drain(from)) return;
  while (from.readable && !from.dead) {
    ssize_t n = recv(from.fd, buffer, kBuffer, 0);
    if (n < 0) {
      from.readable = false;
      if (errno != EAGAIN) close_both(from);
      return;
    }
    if (n == 0) {
      from.readable = false;
      from.over = true;
      shutdown(from.other->fd, SHUT_WR);
      if (from.other->over) close_both(from);
      return;
    }
    // A short read means drained: the next news comes by itself.
    from.readable = static_cast<size_t>(n) == kBuffer;
    ssize_t sent = send(from.other->fd, buffer, static_cast<size_t>(n), MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN && errno != ENOTCONN) return close_both(from);
    if (sent < 0) sent = 0;
    if (sent < n) {
      from.waiting.assign(buffer + sent, static_cast<size_t>(n - sent));
      return;
    }
  }
}

void accept_all(int listener) {
  for (;;) {
    int client = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (client < 0) return;
    int server = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (server < 0) {
      close(client);
      return;
    }
    set_no_delay(client);
    set_no_delay(server);
    if (connect(server, reinterpret_cast<sockaddr*>(&origin), sizeof origin) != 0 &&
        errno != EINPROGRESS) {
      close(client);
      close(server);
      continue;
    }
    End* a = new End;
    End* b = new End;
    a->fd = client, a->other = b;
    b->fd = server, b->other = a;
    watch(client, a);
    watch(server, b);
  }
}

void on_event(End& end, uint32_t events) {
  if (end.dead) return;
  // Writable: what the other side had read can go on. Only then is there anything to do.
  if ((events & EPOLLOUT) && (!end.other->waiting.empty() || end.other->readable)) copy(*end.other);
  if (!end.dead && (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) && !end.over) {
    // RDHUP comes with the last bytes: read on until the end shows.
    copy(end);
    if (!end.dead && (events & EPOLLRDHUP) && !end.over && end.waiting.empty()) copy(end);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: bench_relay LISTEN_PORT ORIGIN_PORT\n");
    return 2;
  }
  std::signal(SIGPIPE, SIG_IGN);
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  origin.sin_family = AF_INET;
  origin.sin_port = htons(static_cast<uint16_t>(std::atoi(argv[2])));
  origin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);

  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  int on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in local = origin;
  local.sin_port = htons(static_cast<uint16_t>(std::atoi(argv[1])));
  if (bind(listener, reinterpret_cast<sockaddr*>(&local), sizeof local) != 0 ||
      listen(listener, 4096) != 0) {
    std::perror("bench_relay");
    return 1;
  }
  watch(listener, nullptr);
  for (epoll_event events[256];;) {
    int n = epoll_wait(epoll_fd, events, 256, -1);
    for (int i = 0; i < n; ++i) {
      if (events[i].data.ptr == nullptr)
        accept_all(listener);
      else
        on_event(*static_cast<End*>(events[i].data.ptr), events[i].events);
    }
    for (End* end : dead) delete end;
    dead.clear();
  }
}
