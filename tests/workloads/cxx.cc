// SPDX-License-Identifier: GPL-2.0-or-later
// Known answer: all samples lie under main() → run_all(), and among their frames are
// sort_records<Descending>() with std::sort's internals and Descending::operator(), the lambda in
// sum_squares(), a virtual call Square::area(), and throw_and_catch() with the unwinder of
// libgcc_s below throw_at_depth(). Roughly a quarter of the time each.
// Arguments: SECONDS (default 10).
#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "workload.h"

namespace records {

struct Record {
  uint64_t key;
  std::string name;
};

struct Descending {
  NOINLINE bool operator()(const Record &a, const Record &b) const {
    return a.key > b.key;
  }
};

template <typename Order> NOINLINE uint64_t sort_records(std::vector<Record> &records) {
  uint64_t state = 88172645463325252ull; // xorshift64, Marsaglia 2003
  for (auto &record : records) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    record.key = state;
  }
  std::sort(records.begin(), records.end(), Order());
  return records.front().key;
}

} // namespace records

struct Shape {
  virtual ~Shape() = default;
  virtual double area(double scale) const = 0;
};

struct Square : Shape {
  NOINLINE double area(double scale) const override {
    for (int i = 0; i < 2; i++)
      spin();
    return scale * scale;
  }
};

NOINLINE static double sum_squares(const std::function<double(double)> &each, int count) {
  double sum = 0;
  for (int i = 0; i < count; i++)
    sum += each(i);
  return sum;
}

NOINLINE static void throw_at_depth(int depth) {
  if (depth == 0)
    throw std::runtime_error("expected");
  throw_at_depth(depth - 1);
  KEEP_FRAME();
}

NOINLINE static unsigned throw_and_catch(int rounds) {
  unsigned caught = 0;
  for (int i = 0; i < rounds; i++) {
    try {
      throw_at_depth(8);
    } catch (const std::runtime_error &) {
      caught++;
    }
  }
  return caught;
}

template <typename Work> static void for_quarter(Work work) {
  uint64_t start_ns = thread_cpu_ns();
  while (thread_cpu_ns() - start_ns < 5000000)
    work();
}

NOINLINE static double run_all(std::vector<records::Record> &records, const Shape &shape) {
  double result = 0;
  for_quarter([&] { result += records::sort_records<records::Descending>(records); });
  for_quarter([&] {
    result += sum_squares(
        [](double x) {
          for (int i = 0; i < 2; i++)
            spin();
          return x * x;
        },
        4);
  });
  for_quarter([&] { result += shape.area(3); });
  for_quarter([&] { result += throw_and_catch(20); });
  return result;
}

int main(int argc, char **argv) {
  uint64_t end_ns = wall_ns() + static_cast<uint64_t>(duration_argument_s(argc, argv, 10) * 1e9);
  std::vector<records::Record> records(400);
  std::unique_ptr<Shape> shape = std::make_unique<Square>();
  double result = 0;
  while (wall_ns() < end_ns)
    result += run_all(records, *shape);
  return result == 0;
}
