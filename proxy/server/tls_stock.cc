#include "proxy/server/tls_stock.h"

#include <fcntl.h>

#include <algorithm>
#include <utility>

namespace sluice::server {
namespace {

// Ours first, by ALPN.
std::vector<std::string> protocols(bool has_h2) {
  return has_h2 ? std::vector<std::string>{"h2", "http/1.1"} : std::vector<std::string>{"http/1.1"};
}

std::vector<std::string> files_of(const config::Tls& tls) {
  std::vector<std::string> files;
  for (const config::Certificate& one : tls.certificates) {
    for (const std::string& file : {one.cert, one.key, one.ocsp}) files.push_back(file);
  }
  files.push_back(tls.client_ca);
  files.push_back(tls.tickets.keys);
  std::erase(files, std::string{});
  return files;
}

double since_1970(WallTime time) {
  return static_cast<double>(
      std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count());
}

}  // namespace

TlsStock::TlsStock(event::Loop& loop, observe::ProcessLog& log, observe::Metrics& metrics,
                   KeyLog key_log, Renewed renewed)
    : log_(log),
      metrics_(metrics),
      key_log_(std::move(key_log)),
      renewed_(std::move(renewed)),
      watch_(loop, static_cast<ConfigWatchEvents&>(*this)),
      rotation_(loop.timers(), static_cast<event::TimerEvents&>(*this)) {}

Result<TlsStock::KeyLog> TlsStock::open_key_log(const std::string& path) {
  if (path.empty()) return KeyLog{};
  Fd fd(::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600));
  if (!fd.is_open()) return fail_errno(errno, Side::kUs, "--tls-keylog " + path);
  return std::make_shared<const Fd>(std::move(fd));
}

void TlsStock::check(const std::vector<config::Listener>& listeners, config::Faults& faults) {
  static_cast<void>(read(listeners, {}, nullptr, faults));
}

TlsStock::Items TlsStock::prepare(const std::vector<config::Listener>& listeners,
                                  config::Faults& faults) const {
  return read(listeners, items_, key_log_, faults);
}

TlsStock::Items TlsStock::read(const std::vector<config::Listener>& listeners, const Items& before,
                               const KeyLog& key_log, config::Faults& faults) {
  Items items;
  for (size_t i = 0; i < listeners.size(); ++i) {
    const config::Listener& listener = listeners[i];
    if (!listener.tls.enabled) continue;
    net::TlsContext::start_library();  // once; it takes milliseconds that others need not pay
    Item item;
    item.listener = listener.address.text;
    item.key = "listeners[" + std::to_string(i) + "].tls";
    item.config = listener.tls;
    item.has_h2 = listener.limits.streams > 0;
    const auto same = std::find_if(before.begin(), before.end(), [&item](const Item& one) {
      return one.listener == item.listener;
    });
    if (same != before.end()) {
      item.self_signed = same->self_signed;
      // Keys of a file are not to seal what our own have sealed, nor the other way round.
      if (same->config.tickets.keys == item.config.tickets.keys) item.tickets = same->tickets;
    }
    read_one(item, key_log, faults);
    items.push_back(std::move(item));
  }
  return items;
}

void TlsStock::read_one(Item& item, const KeyLog& key_log, config::Faults& faults) {
  const auto fault = [&item, &faults](const std::string& key, const std::string& what) {
    faults.add(item.config.place.file, item.config.place.line, item.key + key, what);
  };
  const std::string& file = item.config.tickets.keys;
  if (item.tickets == nullptr) {
    item.tickets = std::make_shared<net::TicketKeys>();
    if (file.empty()) item.tickets->rotate(steady_now());
  }
  if (!file.empty()) {
    const auto bytes = net::read_file(file);
    auto keys = bytes ? net::TicketKeys::parse(*bytes) : tl::unexpected(bytes.error());
    if (keys) {
      item.shared_keys = std::move(*keys);
    } else {
      fault(".tickets.keys",
            bytes ? "\"" + file + "\" " + keys.error().detail : keys.error().detail);
    }
  }
  if (item.config.self_signed && item.self_signed == nullptr) {
    auto made = net::make_self_signed();
    if (!made) return fault(".self_signed", made.error().detail);
    item.self_signed = std::make_shared<const net::TlsCertificate>(std::move(*made));
  }
  const net::TlsContext::Wish wish{item.config,
                                   item.key,
                                   item.config.self_signed ? item.self_signed : nullptr,
                                   item.tickets,
                                   protocols(item.has_h2),
                                   key_log};
  item.context = net::TlsContext::make(wish, faults);
}

void TlsStock::adopt(Items&& items) {
  items_ = std::move(items);
  for (Item& item : items_) {
    if (!item.config.tickets.keys.empty()) item.tickets->set(item.shared_keys, steady_now());
  }
  tell_expiries();
  watch();
  rotate();
}

void TlsStock::watch() {
  std::vector<std::string> files;
  for (const Item& item : items_) {
    for (std::string& file : files_of(item.config)) files.push_back(std::move(file));
  }
  if (files.empty()) return watch_.stop();
  const auto watched = watch_.watch(files);
  if (watched) return;
  log_.limited(observe::Severity::kWarning, "tls watch",
               "watching certificates: " + watched.error().detail);
}

// ---- files that change ----

void TlsStock::on_config_changed() {
  for (Item& item : items_) {
    if (!files_of(item.config).empty()) renew(item);
  }
  tell_expiries();
  const auto tell = [this](const char* result, uint64_t count) {
    metrics_.tell("sluice_certificate_reloads_total",
                  "Times the files of a listener's TLS were read again as they had changed.",
                  "result", result, count);
  };
  tell("success", renewals_);
  tell("failure", failed_renewals_);
  watch();
}

// Files are replaced one after the other: what does not match yet will, with the next news.
void TlsStock::renew(Item& item) {
  config::Faults faults;
  Item next = item;
  read_one(next, key_log_, faults);
  if (!faults.empty()) {
    ++failed_renewals_;
    for (const std::string& line : faults.lines()) {
      log_.error("certificates of " + item.listener + " stay as they were: " + line);
    }
    return;
  }
  ++renewals_;
  item = std::move(next);
  if (!item.config.tickets.keys.empty()) item.tickets->set(item.shared_keys, steady_now());
  log_.info("certificates of " + item.listener + " were read again");
  renewed_(item.listener, item.context);
}

// Warns of those that have ended; the metric says it before.
void TlsStock::tell_expiries() {
  observe::Metrics::Values values;
  for (const Item& item : items_) {
    for (const auto& [name, ends] : item.context->expiries()) {
      const auto [known, is_new] = values.try_emplace(name, since_1970(ends));
      known->second = std::min(known->second, since_1970(ends));
      if (ends < wall_now()) {
        log_.warning("listener " + item.listener + ": the certificate for " + name +
                     " has expired");
      }
    }
  }
  metrics_.set_values("sluice_certificate_expiry_timestamp_seconds",
                      "When the first certificate for a name ends, in seconds since 1970.", "name",
                      std::move(values));
}

// ---- keys that change ----

void TlsStock::rotate() {
  const TimePoint now = steady_now();
  Duration next = Duration::max();
  for (const Item& item : items_) {
    if (!item.config.tickets.keys.empty()) continue;
    const Duration every = item.config.tickets.rotate;
    if (now - item.tickets->changed_at() >= every) item.tickets->rotate(now);
    next = std::min(next, item.tickets->changed_at() + every - now);
  }
  if (next == Duration::max()) return rotation_.cancel();
  rotation_.arm(next);
}

void TlsStock::on_timer(event::Timer&) {
  rotate();
}

}  // namespace sluice::server
