// What one lookup in the route table costs, with ten routes and with ten thousand: it should be the
// same.
#include <benchmark/benchmark.h>

#include <memory>
#include <string>
#include <vector>

#include "proxy/http/target.h"
#include "proxy/route/table.h"

namespace {

using namespace sluice;

struct Setup {
  std::vector<config::Route> routes;
  config::Faults faults;
  std::unique_ptr<const route::Table> table;

  // Half of them by host, half by path, and "/" for the rest.
  explicit Setup(int64_t count) {
    routes.emplace_back();
    for (int64_t i = 1; i < count; ++i) {
      config::Route route;
      if (i % 2 == 0) route.host = "shop" + std::to_string(i) + ".example.com";
      if (i % 2 == 1) route.path = "/app/section" + std::to_string(i) + "/";
      routes.push_back(std::move(route));
    }
    table = route::Table::build(routes, faults);
  }
};

http::RequestHead make_head(std::string_view host, std::string_view target) {
  http::RequestHead head;
  head.method = "GET";
  head.authority = host;
  static_cast<void>(http::parse_target(target, head));
  return head;
}

void find(benchmark::State& state, std::string_view host, std::string_view target) {
  const Setup setup{state.range(0)};
  const auto head = make_head(host, target);
  for (auto _ : state) benchmark::DoNotOptimize(setup.table->find(head));
}

void BM_FindByHost(benchmark::State& state) {
  find(state, "shop8.example.com", "/catalogue/7?x=1");
}
void BM_FindByPath(benchmark::State& state) {
  find(state, "www.example.com", "/app/section7/x/y/z");
}
void BM_FindDefault(benchmark::State& state) {
  find(state, "www.example.com:8080", "/catalogue/7");
}

BENCHMARK(BM_FindByHost)->Arg(10)->Arg(10000);
BENCHMARK(BM_FindByPath)->Arg(10)->Arg(10000);
BENCHMARK(BM_FindDefault)->Arg(10)->Arg(10000);

}  // namespace

BENCHMARK_MAIN();
