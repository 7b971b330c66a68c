#include "proxy/event/soon.h"

namespace sluice::event {

void Soon::schedule() {
  if (prev_ != nullptr) return;
  prev_ = loop_.soon_tail_;
  *prev_ = this;
  loop_.soon_tail_ = &next_;
}

void Soon::cancel() {
  if (prev_ == nullptr) return;
  *prev_ = next_;
  if (next_ != nullptr) {
    next_->prev_ = prev_;
  } else {
    loop_.soon_tail_ = prev_;
  }
  prev_ = nullptr;
  next_ = nullptr;
}

}  // namespace sluice::event
