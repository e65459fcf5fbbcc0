// SPDX-License-Identifier: GPL-2.0-or-later
// Uses every form of operator new and delete, exceptions and the standard containers, a known
// number of times. Independent counters count along.
//
// usage: heap_new [ROUNDS] [mild]   (mild: without the refusals, at which valgrind gives up)
#include <map>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

extern "C" {
#include "workload.h"
}

namespace {

struct alignas(64) Wide {
  char bytes[192];
};

struct Throwing {
  char bytes[40];
  Throwing() {
    throw std::runtime_error("a constructor that throws: its memory is given back");
  }
};

// The functions themselves, so that no pair is left out by the compiler.
void every_operator(std::size_t bytes) {
  const auto alignment = std::align_val_t(128);
  const std::size_t whole = (bytes + 127) / 128 * 128; // else libstdc++ rounds it up itself
  ::operator delete(::operator new(bytes));
  ::operator delete(::operator new(bytes), bytes);
  ::operator delete[](::operator new[](bytes));
  ::operator delete[](::operator new[](bytes), bytes);
  ::operator delete(::operator new(bytes, std::nothrow), std::nothrow);
  ::operator delete[](::operator new[](bytes, std::nothrow), std::nothrow);
  ::operator delete(::operator new(whole, alignment), alignment);
  ::operator delete(::operator new(whole, alignment), whole, alignment);
  ::operator delete[](::operator new[](whole, alignment), alignment);
  ::operator delete[](::operator new[](whole, alignment), whole, alignment);
  ::operator delete(::operator new(whole, alignment, std::nothrow), alignment, std::nothrow);
  ::operator delete[](::operator new[](whole, alignment, std::nothrow), alignment, std::nothrow);
  ::operator delete(nullptr);
}

volatile std::size_t too_much = SIZE_MAX / 2;

int refusals(void) {
  int refused = 0;
  try {
    ::operator delete(::operator new(too_much));
  } catch (const std::bad_alloc &) {
    refused++;
  }
  if (!::operator new(too_much, std::nothrow))
    refused++;
  try {
    std::unique_ptr<Throwing> never(new Throwing);
  } catch (const std::runtime_error &) {
    refused++;
  }
  return refused;
}

void containers(unsigned round) {
  std::map<int, std::string> names;
  std::vector<std::unique_ptr<Wide>> wide;
  for (int i = 0; i < 50; i++) {
    names[i] = std::string(10 + 7 * (i + round) % 90, 'x');
    wide.push_back(std::make_unique<Wide>());
  }
  auto shared = std::make_shared<std::vector<double>>(1000 + round);
  auto copy = shared;
}

} // namespace

int main(int argc, char **argv) {
  const unsigned rounds = argc > 1 ? atoi(argv[1]) : 50;
  const std::size_t sizes[] = {1, 24, 500, 5000, 300000};
  const bool mild = argc > 2;
  int refused = 0;
  for (unsigned i = 0; i < rounds; i++) {
    every_operator(sizes[i % 5]);
    refused += mild ? 3 : refusals();
    containers(i);
  }
  static volatile char *kept = new char[1234];
  (void)kept;
  return refused == int(3 * rounds) ? 0 : 3;
}
