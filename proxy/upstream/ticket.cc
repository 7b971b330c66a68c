#include "proxy/upstream/ticket.h"

#include "proxy/base/assert.h"
#include "proxy/upstream/cluster.h"

namespace sluice::upstream {

Ticket::Ticket(Cluster& cluster, Waiter& waiter, const Wish& wish)
    : cluster_(cluster),
      waiter_(waiter),
      wish_(wish),
      since_(cluster.loop_.now()),
      timer_(cluster.loop_.timers(), *this),
      soon_(cluster.loop_, *this),
      dialer_(cluster.loop_, *this) {}

Ticket::~Ticket() {
  switch (state_) {
    case State::kQueued:
      cluster_.remove(*this);
      break;
    case State::kDialling:
    case State::kGranted:
      pool_->leave();
      break;
    case State::kDone:
      break;
  }
}

void Ticket::wait_in_queue(Duration timeout) {
  timer_.arm(timeout);
}

void Ticket::dial(Pool& pool) {
  if (timer_.is_armed()) lease_.queued = cluster_.loop_.now() - since_;
  timer_.cancel();
  state_ = State::kDialling;
  pool_ = &pool;
  since_ = cluster_.loop_.now();
  dialer_.dial(pool.endpoint().address(), cluster_.config().timeouts.connect);
}

void Ticket::grant(Pool& pool) {
  lease_.queued = cluster_.loop_.now() - since_;
  timer_.cancel();
  state_ = State::kGranted;
  pool_ = &pool;
  soon_.schedule();
}

void Ticket::on_soon() {
  SLUICE_ASSERT(state_ == State::kGranted);
  PooledConnection* idle = wish_.fresh ? nullptr : pool_->take_idle();
  if (idle == nullptr) return dial(*pool_);  // none wanted, or it closed meanwhile
  state_ = State::kDone;
  lease_.stream = &idle->lease();
  lease_.endpoint = &pool_->endpoint();
  lease_.fresh = false;
  waiter_.on_lease(lease_);
}

void Ticket::on_connected(std::unique_ptr<net::Transport> transport) {
  state_ = State::kDone;
  lease_.connect = cluster_.loop_.now() - since_;
  PooledConnection& connection = pool_->adopt(std::move(transport));
  lease_.stream = &connection.lease();
  lease_.endpoint = &pool_->endpoint();
  lease_.fresh = true;
  waiter_.on_lease(lease_);
}

void Ticket::on_dial_failed(const Error& error) {
  state_ = State::kDone;
  pool_->on_dial_failed();
  const Endpoint& endpoint = pool_->endpoint();
  pool_->leave();
  waiter_.on_no_lease(error, &endpoint);
}

void Ticket::on_timer(event::Timer&) {
  cluster_.remove(*this);
  state_ = State::kDone;
  waiter_.on_no_lease({ErrorCode::kTimeout, Side::kUpstream, "waited too long for a place"},
                      nullptr);
}

}  // namespace sluice::upstream
