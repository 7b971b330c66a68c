#include "proxy/base/assert.h"

#include <cstdio>
#include <cstdlib>

namespace sluice {

void assertion_failed(const char* expression, const char* file, int line) {
  std::fprintf(stderr, "sluice: %s:%d: cannot happen: %s\n", file, line, expression);
  std::abort();
}

}  // namespace sluice
