/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the tests about CPython share: where the machine's interpreters are. */
#ifndef RAGPROF_TESTS_CPYTHON_TESTING_H
#define RAGPROF_TESTS_CPYTHON_TESTING_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PYTHON_PATH_BYTES 512

/* Slots 0-5: Python 3.8-3.13 of pyenv; then the system's own. */
#define PYTHON_SLOT_3_13 5
#define PYTHON_SLOT_SYSTEM 6
#define PYTHON_SLOT_COUNT 7

/* An empty path where the machine lacks the interpreter. */
static inline void find_pythons(char paths[PYTHON_SLOT_COUNT][PYTHON_PATH_BYTES]) {
  FILE *list = popen("tests/python/interpreters.sh", "r");
  char path[PYTHON_PATH_BYTES];
  while (list && fgets(path, sizeof(path), list)) {
    path[strcspn(path, "\n")] = '\0';
    const char *version = strstr(path, "/versions/3.");
    int minor = version ? atoi(version + strlen("/versions/3.")) : 0;
    int slot = minor >= 8 && minor <= 13 ? minor - 8 : PYTHON_SLOT_SYSTEM;
    strcpy(paths[slot], path);
  }
  if (list)
    pclose(list);
}

/* A row of a cmocka table: the test of one slot, which gets NULL for a missing interpreter. */
#define PYTHON_TEST(prefix, function, paths, slot, name)                                           \
  { prefix "_" name, function, NULL, NULL, (paths)[slot][0] ? (paths)[slot] : NULL }

#define PYTHON_TESTS(prefix, function, paths)                                                      \
  PYTHON_TEST(prefix, function, paths, 0, "3_8"), PYTHON_TEST(prefix, function, paths, 1, "3_9"),  \
      PYTHON_TEST(prefix, function, paths, 2, "3_10"),                                             \
      PYTHON_TEST(prefix, function, paths, 3, "3_11"),                                             \
      PYTHON_TEST(prefix, function, paths, 4, "3_12"),                                             \
      PYTHON_TEST(prefix, function, paths, PYTHON_SLOT_3_13, "3_13"),                              \
      PYTHON_TEST(prefix, function, paths, PYTHON_SLOT_SYSTEM, "of_the_system")

#endif
