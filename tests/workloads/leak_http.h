/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A server of one connection for workloads that leak, or do not: a forked client asks the given
 * number of times over HTTP/1.1, and each request is one iteration of the program's work. */
#ifndef RAGPROF_TESTS_LEAK_HTTP_H
#define RAGPROF_TESTS_LEAK_HTTP_H

#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "workload.h"

static inline bool transfer(int fd, const char *text, const char *until) {
  char line[256] = "";
  size_t used = 0;
  if (send(fd, text, strlen(text), MSG_NOSIGNAL) < 0)
    return false;
  while (!strstr(line, until) && used + 1 < sizeof line) {
    ssize_t got = recv(fd, line + used, sizeof line - 1 - used, 0);
    if (got <= 0)
      return false;
    used += (size_t)got;
    line[used] = 0;
  }
  return true;
}

static inline void ask(const struct sockaddr_in *address, unsigned requests, unsigned pause_us) {
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(fd, (const struct sockaddr *)address, sizeof *address))
    _exit(3);
  for (unsigned i = 0; i < requests; i++) {
    if (!transfer(fd, "GET /query?q=1 HTTP/1.1\r\nHost: localhost\r\n\r\n", "ok"))
      _exit(3);
    usleep(pause_us);
  }
  _exit(0);
}

/* Calls `handle` with 0, 1, ... for each request. 0, or 3 when it could not serve all. */
static inline int serve(unsigned requests, unsigned pause_us, void (*handle)(unsigned)) {
  struct sockaddr_in address = {
      .sin_family = AF_INET, .sin_port = 0, .sin_addr = {}, .sin_zero = {}};
  socklen_t size = sizeof address;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  if (bind(listener, (struct sockaddr *)&address, size) || listen(listener, 1) ||
      getsockname(listener, (struct sockaddr *)&address, &size))
    return 3;
  pid_t client = fork();
  if (!client)
    ask(&address, requests, pause_us);
  int fd = accept(listener, NULL, NULL);
  const char *answer = "";
  for (unsigned i = 0; i < requests; i++) {
    if (!transfer(fd, answer, "\r\n\r\n"))
      return 3;
    handle(i);
    answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
  }
  send(fd, answer, strlen(answer), MSG_NOSIGNAL);
  int status = 0;
  waitpid(client, &status, 0);
  return status ? 3 : 0;
}

/* A fixed sequence of numbers below `end`. */
static inline unsigned some(unsigned end) {
  static uint64_t state = 88172645463325252u; /* xorshift64: Marsaglia 2003 */
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return (unsigned)(state >> 11) % end;
}

#endif
