// SPDX-License-Identifier: GPL-2.0-or-later
// Methods that are left by return and by exception, to be probed: `count` calls, every other one
// throws. Prints how many returned, how many threw, and the nanoseconds of those that returned.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>

static std::chrono::nanoseconds total(0);

namespace store {
class Index {
public:
  __attribute__((noinline)) long search(long query, const float *weights);
  __attribute__((noinline)) long search(long query);
  __attribute__((noinline)) long research(long query);
};

long Index::search(long query, const float *weights) {
  auto begin = std::chrono::steady_clock::now(), now = begin;
  while (now < begin + std::chrono::microseconds(100))
    now = std::chrono::steady_clock::now();
  if (query % 2)
    throw std::runtime_error("odd");
  total += now - begin;
  return query + static_cast<long>(weights[0]);
}

long Index::search(long query) {
  asm volatile("" ::: "memory");
  return query + 1;
}

long Index::research(long query) {
  const float weights[1] = {1};
  return search(query, weights) + 1;
}
} // namespace store

int main(int argc, char **argv) {
  long count = argc > 1 ? atol(argv[1]) : 1000, returned = 0, threw = 0, sum = 0;
  store::Index index;
  for (long i = 0; i < count; i++) {
    try {
      sum += index.research(i);
      returned++;
    } catch (const std::exception &) {
      threw++;
    }
    sum += index.search(i);
  }
  std::printf("%ld %ld %lld\n", returned, threw, static_cast<long long>(total.count()));
  return sum == 0;
}
