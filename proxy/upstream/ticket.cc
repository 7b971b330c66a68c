#include "proxy/upstream/ticket.h"

#include <algorithm>
#include <utility>

#include "proxy/base/assert.h"
#include "proxy/upstream/cluster.h"

namespace sluice::upstream {

Ticket::Ticket(Cluster& cluster, Waiter& waiter, const Wish& wish)
    : cluster_(cluster),
      waiter_(waiter),
      wish_(wish),
      arrived_(cluster.loop_.now()),
      patience_(arrived_ + cluster.config().hold.timeout),
      timer_(cluster.loop_.timers(), *this),
      soon_(cluster.loop_, *this),
      dialer_(cluster.loop_, *this) {
  entry_.ticket = this;
  entry_.number = cluster.next_number();
  entry_.bytes = wish.bytes;
}

Ticket::~Ticket() {
  leave_state();
  end();
}

// Gives back what the present state holds.
void Ticket::leave_state() {
  switch (state_) {
    case State::kQueued: cluster_.remove(*this); break;
    case State::kDialling:
    case State::kGranted: pool_->leave(); break;
    case State::kNew:
    case State::kDone: break;
  }
}

void Ticket::end() {
  if (state_ == State::kDone) return;
  state_ = State::kDone;
  if (was_held_) cluster_.on_hold_over(cluster_.loop_.now() - arrived_);
}

void Ticket::wait() {
  state_ = State::kQueued;
  was_held_ = true;
  timer_.arm(patience_ - cluster_.loop_.now());
}

void Ticket::grant(Pool& pool) {
  timer_.cancel();
  state_ = State::kGranted;
  pool_ = &pool;
  soon_.schedule();
}

void Ticket::on_soon() {
  SLUICE_ASSERT(state_ == State::kGranted);
  if (was_held_) lease_.queued = cluster_.loop_.now() - arrived_;
  PooledConnection* idle = pool_->take_idle(wish_);
  if (idle == nullptr) return dial(*pool_);  // none that it may have, or it closed meanwhile
  end();
  lease_.stream = &idle->lease(wish_);
  lease_.endpoint = &pool_->endpoint();
  lease_.fresh = false;
  waiter_.on_lease(lease_);
}

void Ticket::dial(Pool& pool) {
  state_ = State::kDialling;
  pool_ = &pool;
  dialled_ = cluster_.loop_.now();
  dialer_.dial(pool.endpoint().address(), cluster_.config().timeouts.connect);
}

void Ticket::on_connected(std::unique_ptr<net::Transport> transport) {
  lease_.connect = cluster_.loop_.now() - dialled_;
  end();
  PooledConnection& connection = pool_->adopt(std::move(transport));
  lease_.stream = &connection.lease(wish_);
  lease_.endpoint = &pool_->endpoint();
  lease_.fresh = true;
  waiter_.on_lease(lease_);
}

void Ticket::on_dial_failed(const Error& error) {
  Pool& pool = *pool_;
  leave_state();
  state_ = State::kNew;
  cluster_.on_dial_failed(*this, pool, error);
}

void Ticket::tell(const Error& error, const Endpoint* endpoint) {
  end();
  waiter_.on_no_lease(error, endpoint);
}

void Ticket::on_timer(event::Timer&) {
  leave_state();
  tell(cluster_.hold_expired(), nullptr);
}

}  // namespace sluice::upstream
