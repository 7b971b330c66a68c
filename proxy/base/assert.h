// SLUICE_ASSERT: a thing that cannot happen. On in every build; never used on input.
#pragma once

namespace sluice {
[[noreturn]] void assertion_failed(const char* expression, const char* file, int line);
}

#define SLUICE_ASSERT(expression) \
  ((expression) ? (void)0 : ::sluice::assertion_failed(#expression, __FILE__, __LINE__))
