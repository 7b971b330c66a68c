#include "proxy/server/socket_stock.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "proxy/server/systemd.h"

namespace sluice::server {

// Dies with its socket, right after it was closed.
class SocketStock::Claim final : public net::SocketClaim {
 public:
  Claim(SocketStock& stock, std::string name) : stock_(stock), name_(std::move(name)) {}
  ~Claim() override { stock_.on_closed(name_); }

 private:
  SocketStock& stock_;
  const std::string name_;
};

void SocketStock::add(std::string name, Fd fd) {
  passed_.push_back({std::move(name), std::move(fd)});
}

void SocketStock::add_passed() {
  for (PassedSocket& socket : take_passed_sockets()) {
    const std::string local = net::SocketAddress::of_local(socket.fd.get()).text();
    add(std::string(kPassed) + "\t" + socket.name + "\t" + local, std::move(socket.fd));
  }
}

SocketStock::Passed* SocketStock::find(const std::string& prefix, const config::Address& address) {
  for (Passed& passed : passed_) {
    if (passed.name.starts_with(prefix)) return &passed;
  }
  const auto wanted = net::SocketAddress::from(address);
  for (Passed& passed : passed_) {
    if (!wanted || !passed.name.starts_with(kPassed)) continue;
    if (net::SocketAddress::of_local(passed.fd.get()).text() == wanted->text()) return &passed;
  }
  return nullptr;
}

Result<net::ListenSocket> SocketStock::open(std::string_view purpose,
                                            const config::Address& address, uint32_t backlog) {
  const std::string prefix = std::string(purpose) + "\t" + address.text + "\t";
  Passed* const passed = find(prefix, address);
  if (passed != nullptr) {
    auto adopted = net::ListenSocket::adopt(std::move(passed->fd), backlog);
    const std::string name = std::move(passed->name);
    passed_.erase(passed_.begin() + (passed - passed_.data()));
    if (adopted) adopted->claim(std::make_unique<Claim>(*this, name));
    return adopted;
  }
  auto socket = net::ListenSocket::open(address, backlog);
  if (!socket || !supervisor_.is_open()) return socket;
  const std::string name = prefix + socket->local().text();
  if (state_ == State::kStarting) {
    opened_.push_back({name, socket->descriptor()});
  } else {
    supervisor_.send(Message(Word::kSocket, name), socket->descriptor());
  }
  socket->claim(std::make_unique<Claim>(*this, name));
  return socket;
}

std::vector<std::string> SocketStock::begin_serving() {
  for (const Opened& opened : opened_) {
    supervisor_.send(Message(Word::kSocket, opened.name), opened.fd);
  }
  opened_.clear();
  state_ = State::kServing;
  std::vector<std::string> unwanted;
  for (Passed& passed : passed_) {
    on_closed(passed.name);
    unwanted.push_back(std::move(passed.name));
  }
  passed_.clear();
  return unwanted;
}

void SocketStock::on_closed(const std::string& name) {
  switch (state_) {
    case State::kStarting:
      std::erase_if(opened_, [&name](const Opened& opened) { return opened.name == name; });
      return;
    case State::kServing:
      if (supervisor_.is_open()) supervisor_.send(Message(Word::kSocketGone, name));
      return;
    case State::kRetired: return;
  }
}

}  // namespace sluice::server
