// ExchangeOwner: who made an exchange hears its last word. The session is one.
#pragma once

namespace sluice::exchange {

class Exchange;

class ExchangeOwner {
 public:
  // The last word of an exchange; it is still on the stack. `served`: the client has its answer.
  virtual void on_exchange_over(Exchange& exchange) = 0;

 protected:
  ~ExchangeOwner() = default;
};

}  // namespace sluice::exchange
