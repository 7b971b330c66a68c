// FakeClient and FakeUpstream: both ends of an exchange without a wire. The test says what comes
// in, how much the "kernel" takes, and reads what went out.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include <doctest/doctest.h>
#include <unistd.h>

#include "proxy/http/stream.h"

namespace sluice::testing {

template <typename Side>
class FakeStream : public Side {
 public:
  // -- the other side --
  std::string incoming;   // its body, as far as it has come
  bool complete = false;  // nothing follows it
  bool broken = false;
  http::Headers its_trailers;
  uint64_t room = UINT64_MAX;  // bytes the kernel still takes

  // -- what came out --
  std::string sent;
  uint64_t most_unsent = 0;
  uint64_t most_memory = 0;  // of what was queued
  int ends = 0;
  int flushes = 0;
  int finishes = 0;
  int resets = 0;
  http::Headers trailers_sent;

  void send_body(Chain&& bytes) override {
    REQUIRE(ends == 0);
    queued_.append(std::move(bytes));
    most_unsent = std::max(most_unsent, queued_.size());
    most_memory = std::max(most_memory, queued_.memory());
  }
  void send_end(http::Headers&& trailers) override {
    ++ends;
    trailers_sent = std::move(trailers);
  }
  using http::Stream::send_end;
  void flush() override {
    ++flushes;
    while (!queued_.empty() && room > 0) {
      const Chain::Piece& piece = queued_.front();
      const uint64_t n = std::min(piece.size, room);
      if (piece.is_file()) {
        std::string text(n, '?');
        const ssize_t got =
            ::pread(piece.file->get(), text.data(), n, static_cast<off_t>(piece.offset));
        REQUIRE(got == static_cast<ssize_t>(n));
        sent += text;
      } else {
        sent += piece.view().substr(0, n);
      }
      queued_.drop_front(n);
      room -= n;
    }
  }
  uint64_t unsent() const override { return queued_.size(); }

  http::BodyRead read_body(Chain& into, uint64_t most) override {
    if (broken) return http::BodyRead::kBroken;
    const auto n = static_cast<size_t>(std::min<uint64_t>(most, incoming.size()));
    into.append_copy(std::string_view(incoming).substr(0, n));
    incoming.erase(0, n);
    if (incoming.empty() && complete) return http::BodyRead::kEnd;
    return n > 0 ? http::BodyRead::kSome : http::BodyRead::kBlocked;
  }
  http::Headers& trailers() override { return its_trailers; }
  void finish() override { ++finishes; }
  void reset() override { ++resets; }

 protected:
  ~FakeStream() = default;

 private:
  Chain queued_;
};

class FakeClient final : public FakeStream<http::ServerStream> {
 public:
  void send_interim(const http::ResponseHead&) override {}
  void send_head(const http::ResponseHead&) override {}
  void close_after() override {}
};

class FakeUpstream final : public FakeStream<http::ClientStream> {
 public:
  void set_events(http::ClientEvents&) override {}
  void send_head(const http::RequestHead&) override {}
  Delivery delivery() const override { return Delivery::kUnknown; }
};

// Bytes that are not alike, so that lost or doubled ones are seen.
inline std::string numbers(size_t size) {
  std::string all;
  for (size_t i = 0; all.size() < size; ++i) all += std::to_string(i) + ",";
  all.resize(size);
  return all;
}

}  // namespace sluice::testing
