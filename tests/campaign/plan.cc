#include "tests/campaign/plan.h"

#include <chrono>
#include <thread>

#include "proxy/http/head_writer.h"
#include "proxy/http/uwsgi_params.h"

namespace sluice::campaign {
namespace {

uint32_t between(Random& random, uint32_t least, uint32_t most) {
  return std::uniform_int_distribution<uint32_t>(least, most)(random);
}

bool chance(Random& random, uint32_t percent) {
  return between(random, 1, 100) <= percent;
}

// Mostly none or short; sometimes beyond the 40 ms an ACK may be delayed.
uint32_t draw_pause(Random& random) {
  const uint32_t kind = between(random, 0, 999);
  if (kind < 450) return 0;
  if (kind < 800) return between(random, 1, 60);
  if (kind < 994) return between(random, 1, 400);
  return between(random, 1000, 45'000);
}

uint32_t draw_body(Random& random) {
  const uint32_t kind = between(random, 0, 99);
  if (kind < 40) return 0;
  if (kind < 60) return between(random, 1, 200);
  if (kind < 75) return between(random, 3000, 5000);  // about a page, about a segment and a half
  if (kind < 90) return between(random, 20'000, 70'000);
  return between(random, 100'000, 400'000);  // more than the kernel takes at once
}

void add(Plan& plan, Act act, uint32_t count = 0, uint32_t patience = 0) {
  plan.step[plan.steps++] = {act, count, patience};
}

void add_pause(Plan& plan, Random& random) {
  if (const uint32_t time = draw_pause(random); time > 0) add(plan, Act::kPause, time);
}

Act draw_end(Random& random) {
  const uint32_t kind = between(random, 0, 99);
  if (kind < 70) return Act::kClose;
  if (kind < 84) return Act::kCloseByReset;
  if (kind < 92) return Act::kExit;
  return Act::kKill;
}

uint32_t draw_count(Random& random, uint32_t size) {
  const uint32_t kind = between(random, 0, 99);
  if (kind < 25) return 1;
  if (kind < 45) return size;
  return between(random, 1, size);
}

// Reads k bytes of the request, then ends; or ends in one direction first, and reads then.
void draw_steps(Run& run, Random& random) {
  Plan& plan = run.plan;
  constexpr uint32_t kPatience[] = {0, 100, 1000, 8000};
  const auto read = [&] {
    add(plan, Act::kRead, draw_count(random, run.size) + plan.unread,
        kPatience[between(random, 0, 3)]);
  };
  const bool dies = chance(random, 4);
  const bool reads = chance(random, 55);
  const bool ends_first = chance(random, 15);
  const bool answers = chance(random, 7);
  if (dies) add(plan, Act::kDieLater, between(random, 1, 600));
  add_pause(plan, random);
  if (ends_first) {
    add(plan, chance(random, 70) ? Act::kEndSending : Act::kEndBoth);
    add_pause(plan, random);
  }
  if (reads) read();
  if (answers) add(plan, Act::kAnswerPart, between(random, 1, 20));
  if (!ends_first && chance(random, 20)) {
    add(plan, chance(random, 70) ? Act::kEndSending : Act::kEndBoth);
  }
  add_pause(plan, random);
  const Act end = draw_end(random);
  add(plan, end);
  run.is_plain_close =
      !dies && !reads && !ends_first && !answers && plan.unread == 0 && end != Act::kCloseByReset;
}

uint32_t size_of_request(bool is_uwsgi, uint32_t body) {
  const http::RequestHead head = request_head(body);
  Chain wire;
  if (is_uwsgi) {
    (void)http::write_uwsgi_packet(head, wire);
  } else {
    http::write_request_head(head, {}, wire);
  }
  return static_cast<uint32_t>(wire.size()) + body;
}

}  // namespace

http::RequestHead request_head(uint32_t body) {
  http::RequestHead head;
  head.method = body > 0 ? "POST" : "DELETE";
  head.target = "/orders/1?of=campaign";
  head.path = "/orders/1";
  head.query = "of=campaign";
  head.authority = "example.com";
  if (body > 0) head.body = http::BodySize::exactly(body);
  return head;
}

Run draw(Random& random) {
  Run run;
  run.plan.is_unix = chance(random, 40);
  run.is_uwsgi = chance(random, 25);
  run.is_accepted = !chance(random, 3);
  run.closes_before = chance(random, 50);
  run.turns_before = chance(random, 15);
  run.pause_before = draw_pause(random);
  run.body = draw_body(random);
  run.first_part = run.body > 0 && chance(random, 35) ? between(random, 0, run.body) : run.body;
  run.pause_within = draw_pause(random);
  run.size = size_of_request(run.is_uwsgi, run.body);
  if (!run.is_uwsgi && run.is_accepted) run.earlier = between(random, 0, 9) / 4;  // 0, 1 or 2
  run.earlier_body = chance(random, 50) ? draw_body(random) % 9000 : 0;
  for (uint32_t i = 0; i < run.earlier; ++i) {
    run.plan.earlier[i] = size_of_request(false, run.earlier_body);
  }
  // An application that answers before it has read all of it.
  if (run.earlier > 0 && run.earlier_body > 0 && chance(random, 10)) {
    run.plan.unread = between(random, 1, run.earlier_body);
  }
  draw_steps(run, random);
  return run;
}

void pause_for(uint32_t microseconds) {
  using Clock = std::chrono::steady_clock;
  const auto until = Clock::now() + std::chrono::microseconds(microseconds);
  if (microseconds > 500) return std::this_thread::sleep_until(until);
  while (Clock::now() < until) {
  }
}

}  // namespace sluice::campaign
