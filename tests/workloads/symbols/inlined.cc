// SPDX-License-Identifier: GPL-2.0-or-later
// Inlining three levels deep, across files, in a method, a template and a lambda.
#include "inlined.h"

#include <cstdio>
#include <cstdlib>

namespace search {

class Index {
public:
  explicit Index(int count) : count_(count), vectors_(new float[count * 8]) {
    for (int i = 0; i < count * 8; i++)
      vectors_[i] = static_cast<float>(i % 17);
  }
  ~Index() {
    delete[] vectors_;
  }
  __attribute__((noinline)) int nearest(const float *query) const;

private:
  int count_;
  float *vectors_;
};

int Index::nearest(const float *query) const {
  int best = 0;
  float best_score = -1;
  auto consider = [&](int i) {
    float score = vectors::dot<float, 8>(query, vectors_ + i * 8);
    if (score > best_score) {
      best_score = score;
      best = i;
    }
  };
  for (int i = 0; i < count_; i++)
    consider(i);
  if (best_score < 0)
    std::abort();
  return best;
}

} // namespace search

template <typename T> static __attribute__((noinline)) T repeated(const search::Index &index, T n) {
  float query[8] = {1, 2, 3, 4, 5, 6, 7, static_cast<float>(n)};
  T sum = 0;
  for (T i = 0; i < n; i++)
    sum += index.nearest(query);
  return sum;
}

int main(int argc, char **) {
  search::Index index(1000 * argc);
  std::printf("%ld\n", repeated<long>(index, 10));
  return 0;
}
