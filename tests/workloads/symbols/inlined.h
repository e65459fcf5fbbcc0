/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The innermost two levels of inlined.cc's inlining, in another file. */
#ifndef INLINED_H
#define INLINED_H

namespace vectors {

inline __attribute__((always_inline)) float multiply(float a, float b) {
  return a * b + 0.5f;
}

template <typename T, int N> inline __attribute__((always_inline)) T dot(const T *a, const T *b) {
  T sum = 0;
  for (int i = 0; i < N; i++)
    sum += multiply(a[i], b[i]);
  return sum;
}

} // namespace vectors

#endif
