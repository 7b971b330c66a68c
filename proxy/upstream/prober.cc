#include "proxy/upstream/prober.h"

#include <algorithm>
#include <utility>

namespace sluice::upstream {
namespace {

using Kind = InquiryResult::Kind;

constexpr Duration kLeast = std::chrono::milliseconds(1);  // between two checks

bool is_one_of(const std::vector<std::pair<int, int>>& ranges, int status) {
  return std::any_of(ranges.begin(), ranges.end(), [status](const auto& range) {
    return range.first <= status && status <= range.second;
  });
}

bool is_well(const config::HealthCheck& check, const InquiryResult& result) {
  if (result.kind != Kind::kAnswered) return false;
  if (check.kind == config::HealthCheck::Kind::kTcp) return true;
  return is_one_of(check.status, result.status) &&
         result.body.find(check.body) != std::string::npos;
}

Question question_of(const config::Upstream& upstream) {
  const config::HealthCheck& check = upstream.health;
  Question question;
  question.protocol = upstream.protocol;
  question.fastcgi = upstream.fastcgi;
  question.proxy_protocol = upstream.proxy_protocol;
  question.connect_only = check.kind == config::HealthCheck::Kind::kTcp;
  question.method = check.method;
  question.target = check.path.empty() ? "/" : check.path;
  question.host = check.host;
  question.user_agent = "sluice-health";
  question.timeout = check.timeout;
  return question;
}

bool is_out(EndpointState state) {
  return state == EndpointState::kDraining || state == EndpointState::kGone;
}

}  // namespace

// One endpoint and its checks. Its timer beats at the fast interval, so that a check that is due
// sooner because the state has changed is not missed.
class Prober::Patient final : private event::TimerEvents {
 public:
  Patient(Prober& prober, std::shared_ptr<Endpoint> which, const config::Upstream& how)
      : endpoint(std::move(which)), prober_(prober), timer_(prober.loop_.timers(), *this) {
    adopt(how);
    timer_.arm(Duration{0});
  }

  void adopt(const config::Upstream& how) {
    check = how.health;
    question = question_of(how);
  }
  // After a check: the next one is due a jittered interval from the start of this one.
  void rest() {
    share_ = prober_.jitter(check.jitter);
    timer_.arm(std::min(beat(), interval()));
  }

  const std::shared_ptr<Endpoint> endpoint;
  config::HealthCheck check;
  Question question;
  uint32_t well = 0;    // in a row
  uint32_t badly = 0;   // in a row
  bool is_due = false;  // in prober_.due_
  std::unique_ptr<Inquiry> running;

 private:
  Duration interval() const {
    const bool is_fine = endpoint->state() == EndpointState::kReady;
    const Duration plain = is_fine ? check.interval : std::min(check.fast_interval, check.interval);
    const auto count = static_cast<double>(plain.count()) * share_;
    return std::max<Duration>(Duration{static_cast<Duration::rep>(count)}, kLeast);
  }
  Duration beat() const {
    return std::max<Duration>(std::min(check.fast_interval, check.interval), kLeast);
  }
  void on_timer(event::Timer&) override {
    const TimePoint now = prober_.loop_.now();
    if (is_out(endpoint->state())) return timer_.arm(check.interval);
    const Duration left = last_ == TimePoint{} ? Duration{0} : last_ + interval() - now;
    if (left > Duration{0}) return timer_.arm(std::min(left, beat()));
    last_ = now;
    prober_.start(*this);
  }

  Prober& prober_;
  TimePoint last_{};  // start of the last check
  double share_ = 1;  // of the interval: its jitter
  event::Timer timer_;
};

Prober::Prober(event::Loop& loop, observe::Metrics& metrics)
    : loop_(loop), metrics_(metrics), dice_(std::random_device{}()) {}

Prober::~Prober() = default;

double Prober::jitter(uint32_t percent) {
  const double most = std::min(percent, 100U) / 100.0;
  return std::uniform_real_distribution<double>(1 - most, 1 + most)(dice_);
}

void Prober::watch(std::shared_ptr<Endpoint> endpoint, const config::Upstream& upstream) {
  if (upstream.health.kind == config::HealthCheck::Kind::kOff) return unwatch(*endpoint);
  for (const auto& patient : patients_) {
    if (patient->endpoint == endpoint) return patient->adopt(upstream);
  }
  patients_.push_back(std::make_unique<Patient>(*this, std::move(endpoint), upstream));
}

void Prober::unwatch(const Endpoint& endpoint) {
  const auto found = std::find_if(patients_.begin(), patients_.end(), [&](const auto& patient) {
    return patient->endpoint.get() == &endpoint;
  });
  if (found == patients_.end()) return;
  std::erase(due_, found->get());
  if ((*found)->running != nullptr) {
    --running_;
    loop_.defer_delete(std::move((*found)->running));
  }
  patients_.erase(found);
  start_next();
}

void Prober::start(Patient& patient) {
  if (running_ >= kMostRunning) {
    if (!std::exchange(patient.is_due, true)) due_.push_back(&patient);
    return;
  }
  ++running_;
  InquiryEvents& events = *this;
  patient.running = std::make_unique<Inquiry>(loop_, patient.endpoint, patient.question, events);
}

void Prober::start_next() {
  while (!due_.empty() && running_ < kMostRunning) {
    Patient& next = *due_.front();
    due_.pop_front();
    next.is_due = false;
    start(next);
  }
}

void Prober::on_answered(Inquiry& inquiry, const InquiryResult& result) {
  const auto found = std::find_if(patients_.begin(), patients_.end(), [&](const auto& patient) {
    return patient->running.get() == &inquiry;
  });
  if (found == patients_.end()) return;
  Patient& patient = **found;
  --running_;
  loop_.defer_delete(std::move(patient.running));  // it is still on the stack: it called us
  conclude(patient, inquiry, result);
  patient.rest();
  start_next();
}

void Prober::conclude(Patient& patient, const Inquiry& inquiry, const InquiryResult& result) {
  Endpoint& endpoint = *patient.endpoint;
  const bool well = is_well(patient.check, result);
  metrics_.checked(endpoint.id(), well);
  patient.well = well ? patient.well + 1 : 0;
  patient.badly = well ? 0 : patient.badly + 1;
  if (is_out(endpoint.state())) return;
  // It went away after the question was put: the answer is of before.
  const bool is_late =
      endpoint.state() == EndpointState::kHolding && endpoint.changed_at() > inquiry.began();
  if (well && patient.well >= patient.check.rise && !is_late) {
    endpoint.note(EndpointNews::kChecksWell);
  }
  if (result.kind == Kind::kRefused) return endpoint.note(EndpointNews::kRefused);
  if (well || patient.badly < patient.check.fall) return;
  endpoint.note(result.kind == Kind::kUnreached ? EndpointNews::kUnreached
                                                : EndpointNews::kChecksBadly);
}

}  // namespace sluice::upstream
