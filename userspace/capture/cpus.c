/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the reading of the kernel's list of online CPUs: "0-3,8". */
#include "capture/cpus.h"

#include <stdio.h>

#include "base/error.h"

int cpus_online(int cpus[CPUS_MAX]) {
  FILE *file = fopen("/sys/devices/system/cpu/online", "re");
  if (!file)
    return error_errno("cannot read the list of CPUs");
  int count = 0, first, last;
  while (fscanf(file, "%d", &first) == 1) {
    last = first;
    int separator = fgetc(file);
    if (separator == '-') {
      if (fscanf(file, "%d", &last) != 1)
        break;
      separator = fgetc(file);
    }
    for (int cpu = first; cpu <= last && count < CPUS_MAX; cpu++)
      cpus[count++] = cpu;
    if (separator != ',')
      break;
  }
  fclose(file);
  return count;
}
