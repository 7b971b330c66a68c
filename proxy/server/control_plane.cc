#include "proxy/server/control_plane.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <utility>

namespace sluice::server {
namespace {

// Long enough for a client to read the verdict of the reload that closed its server.
constexpr Duration kLastWords = std::chrono::seconds(2);

}  // namespace

ControlPlane::ControlPlane(event::Loop& loop, observe::ProcessLog& log, SocketStock& sockets,
                           ControlHandler reads, ControlHandler orders)
    : loop_(loop),
      log_(log),
      sockets_(sockets),
      read_handler_(std::move(reads)),
      order_handler_(std::move(orders)),
      admin_{""} {
  metrics_.address.reset();
}

ControlPlane::~ControlPlane() {
  if (orders_ != nullptr && sockets_.is_serving()) ::unlink(admin_.socket.c_str());
}

Status ControlPlane::start(ControlServer& server) const {
  return is_held_ ? Status{} : server.start();
}

void ControlPlane::answer() {
  if (!std::exchange(is_held_, false)) return;
  for (const auto* server : {&reads_, &orders_}) {
    if (*server == nullptr) continue;
    if (const auto started = (*server)->start(); !started) log_.error(started.error().detail);
  }
}

void ControlPlane::retire() {
  for (const auto* server : {&reads_, &orders_}) {
    if (*server != nullptr) (*server)->retire();
  }
}

Result<std::unique_ptr<ControlServer>> ControlPlane::open_orders(const std::string& path) const {
  const config::Address address{"unix:" + path, true, path, 0};
  std::error_code ignored;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), ignored);
  auto socket = sockets_.open("admin", address, 16);
  if (!socket) return tl::unexpected(socket.error());
  ::chmod(path.c_str(), 0600);
  auto server = std::make_unique<ControlServer>(loop_, std::move(*socket), order_handler_);
  if (const auto started = start(*server); !started) return tl::unexpected(started.error());
  return server;
}

Result<ControlPlane::Prepared> ControlPlane::prepare(const config::Config& config) const {
  Prepared next;
  next.metrics = config.metrics;
  next.admin = config.admin;
  if (config.metrics.address != metrics_.address) {
    next.reads.emplace(nullptr);
    if (config.metrics.address) {
      auto socket = sockets_.open("metrics", *config.metrics.address, 64);
      if (!socket) return tl::unexpected(socket.error());
      *next.reads = std::make_unique<ControlServer>(loop_, std::move(*socket), read_handler_);
      if (const auto started = start(**next.reads); !started) {
        return tl::unexpected(started.error());
      }
    }
  }
  const bool missing = orders_ == nullptr && !config.admin.socket.empty();
  if (missing || config.admin.socket != admin_.socket) {
    next.orders.emplace(nullptr);
    if (!config.admin.socket.empty()) {
      auto opened = open_orders(config.admin.socket);
      const bool is_anew = orders_ != nullptr && config.admin.socket != admin_.socket;
      if (!opened && is_anew) return tl::unexpected(opened.error());
      if (!opened) {
        log_.warning("no admin socket: " + opened.error().detail + "; orders come by signal only");
      } else {
        *next.orders = std::move(*opened);
      }
    }
  }
  return next;
}

void ControlPlane::discard(const Prepared& next) const {
  if (next.orders && *next.orders != nullptr) ::unlink(next.admin.socket.c_str());
}

void ControlPlane::adopt(Prepared&& next) {
  auto gone = std::make_shared<std::vector<std::unique_ptr<ControlServer>>>();
  if (next.reads) {
    gone->push_back(std::exchange(reads_, std::move(*next.reads)));
    metrics_ = next.metrics;
  }
  if (next.orders) {
    if (orders_ != nullptr) ::unlink(admin_.socket.c_str());
    gone->push_back(std::exchange(orders_, std::move(*next.orders)));
    admin_ = next.admin;
  }
  if (!gone->empty()) {
    retirement_ = std::make_unique<Later>(loop_, kLastWords, [gone] { gone->clear(); });
  }
}

}  // namespace sluice::server
