#include "plugins/example/maintenance.h"

#include <string>
#include <vector>

namespace sluice::plugins {
namespace {

struct Settings {
  std::string message = "Back soon.\n";
  uint32_t retry_after = 60;        // seconds
  std::vector<std::string> let_in;  // client addresses
};

// One exchange: what it borrows lives in the factory, which the exchange keeps alive.
class Maintenance : public filter::Filter {
 public:
  explicit Maintenance(const Settings& settings) : settings_(settings) {}

  filter::Verdict on_request(filter::FilterHost& host, http::RequestHead&) override {
    for (const auto& address : settings_.let_in) {
      if (host.client_address() == address) return filter::Verdict::kContinue;
    }
    http::ResponseHead head;
    head.status = 503;
    head.headers.add(http::HeaderId::kContentType, "text/plain; charset=utf-8");
    head.headers.add(http::HeaderId::kRetryAfter, std::to_string(settings_.retry_after));
    host.answer(std::move(head), settings_.message);
    return filter::Verdict::kAnswered;
  }

  filter::Verdict on_response(filter::FilterHost&, http::ResponseHead& head) override {
    head.headers.set("X-Maintenance", "on");  // those who were let in should know
    return filter::Verdict::kContinue;
  }

 private:
  const Settings& settings_;
};

class Factory : public filter::FilterFactory {
 public:
  explicit Factory(Settings settings) : settings_(std::move(settings)) {}
  std::unique_ptr<filter::Filter> make() const override {
    return std::make_unique<Maintenance>(settings_);
  }
  std::string_view name() const override { return "maintenance"; }

 private:
  const Settings settings_;
};

}  // namespace

std::unique_ptr<filter::FilterFactory> make_maintenance(const config::Node& settings,
                                                        config::Faults& faults) {
  Settings read;
  config::MapReader reader(settings, faults);
  reader.text("message", read.message);
  reader.number("retry_after", read.retry_after, 1, 86400);
  reader.texts("let_in", read.let_in);
  reader.finish();  // keys nobody asked for are faults, with "did you mean"
  return std::make_unique<Factory>(std::move(read));
}

}  // namespace sluice::plugins
