/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sockets whose use is known: `net MODE [COUNT]`. What a mode knows of itself it prints. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "workload.h"

#define DIE(what) (perror(what), exit(1))

static int count = 20;

static socklen_t loopback(int family, struct sockaddr_storage *address) {
  memset(address, 0, sizeof(*address));
  address->ss_family = (sa_family_t)family;
  if (family == AF_INET6) {
    ((struct sockaddr_in6 *)address)->sin6_addr = in6addr_loopback;
    return sizeof(struct sockaddr_in6);
  }
  ((struct sockaddr_in *)address)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return sizeof(struct sockaddr_in);
}

/* A socket that listens on a port of its own, or is bound to one; its address. */
static int serve(int family, int type, int backlog, struct sockaddr_storage *address) {
  socklen_t bytes = loopback(family, address);
  int fd = socket(family, type, 0);
  if (fd < 0 || bind(fd, (void *)address, bytes) || (type == SOCK_STREAM && listen(fd, backlog)))
    DIE("serve");
  getsockname(fd, (void *)address, &bytes);
  return fd;
}

static socklen_t size_of(const struct sockaddr_storage *address) {
  return address->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
}

static int connect_to(const struct sockaddr_storage *address) {
  int fd = socket(address->ss_family, SOCK_STREAM, 0);
  if (fd < 0 || connect(fd, (void *)address, size_of(address)))
    DIE("connect");
  return fd;
}

/* ---- every call that moves bytes ---- */

static void move_bytes(int from, int to) {
  char data[4000] = {0};
  int pipes[2], file = memfd_create("net", 0);
  struct iovec parts[2] = {{data, 100}, {data + 100, 60}};
  struct msghdr header = {.msg_iov = parts, .msg_iovlen = 2};
  struct mmsghdr many[3] = {{.msg_hdr = header}, {.msg_hdr = header}, {.msg_hdr = header}};
  if (pipe(pipes) || ftruncate(file, 5000))
    DIE("pipe");
  for (int i = 0; i < count; i++) {
    if (send(from, data, 10, 0) != 10 || recv(to, data, 10, MSG_WAITALL) != 10 ||
        write(from, data, 20) != 20 || read(to, data, 20) != 20 || writev(from, parts, 2) != 160 ||
        readv(to, parts, 2) != 160 || sendmsg(from, &header, 0) != 160 ||
        recvmsg(to, &header, 0) != 160 || sendmmsg(from, many, 3, 0) != 3 ||
        recvmmsg(to, many, 3, MSG_WAITFORONE, NULL) < 1)
      DIE("calls");
    lseek(file, 0, SEEK_SET);
    if (recv(to, data, sizeof(data), MSG_DONTWAIT) >= 0)
      exit(3); /* all three messages came */
    if (errno != EAGAIN || sendfile(from, file, NULL, 1000) != 1000 ||
        splice(to, NULL, pipes[1], NULL, 1000, 0) != 1000 ||
        splice(pipes[0], NULL, from, NULL, 1000, 0) != 1000 || recv(to, data, 1000, 0) != 1000)
      DIE("sendfile");
  }
  close(file);
}

static void stream(int family) {
  struct sockaddr_storage address;
  int listener = serve(family, SOCK_STREAM, 5, &address);
  int client = connect_to(&address), server = accept(listener, NULL, NULL);
  move_bytes(client, server);
  shutdown(client, SHUT_WR);
  char byte;
  while (read(server, &byte, 1) > 0)
    continue;
  printf("port %u\n", ntohs(((struct sockaddr_in *)&address)->sin_port));
}

static void mode_v4(void) {
  stream(AF_INET);
}

static void mode_v6(void) {
  stream(AF_INET6);
}

/* A v4 client of a v6 socket. */
static void mode_mapped(void) {
  struct sockaddr_storage address, v4;
  int listener = socket(AF_INET6, SOCK_STREAM, 0);
  memset(&address, 0, sizeof(address));
  address.ss_family = AF_INET6;
  socklen_t bytes = sizeof(struct sockaddr_in6);
  if (bind(listener, (void *)&address, bytes) || listen(listener, 5))
    DIE("listen");
  getsockname(listener, (void *)&address, &bytes);
  loopback(AF_INET, &v4);
  ((struct sockaddr_in *)&v4)->sin_port = ((struct sockaddr_in6 *)&address)->sin6_port;
  int client = connect_to(&v4), server = accept(listener, NULL, NULL);
  for (int i = 0; i < count; i++)
    if (write(client, "0123456789", 10) != 10 || read(server, (char[10]){0}, 10) != 10)
      DIE("write");
  printf("port %u\n", ntohs(((struct sockaddr_in *)&v4)->sin_port));
}

static void exchange(int from, int to) {
  char data[64];
  for (int i = 0; i < count; i++)
    if (write(from, "0123456789", 10) != 10 || read(to, data, sizeof(data)) != 10 ||
        write(to, "ok", 2) != 2 || read(from, data, sizeof(data)) != 2)
      DIE("exchange");
}

/* A path, an abstract name, a pair, and datagrams to a path. */
static void mode_unix(void) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  int pair[2], datagrams = socket(AF_UNIX, SOCK_DGRAM, 0), sender = socket(AF_UNIX, SOCK_DGRAM, 0);
  for (int is_abstract = 0; is_abstract < 2; is_abstract++) {
    socklen_t bytes = sizeof(address);
    snprintf(address.sun_path, sizeof(address.sun_path), "%sragprof-net.%d",
             is_abstract ? "" : "/tmp/", is_abstract ? 0 : getpid());
    if (is_abstract) {
      memmove(address.sun_path + 1, "ragprof-net", 11);
      address.sun_path[0] = 0;
      bytes = offsetof(struct sockaddr_un, sun_path) + 12;
    }
    int listener = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0);
    if (bind(listener, (void *)&address, bytes) || listen(listener, 5) ||
        connect(client, (void *)&address, bytes))
      DIE("unix");
    exchange(client, accept(listener, NULL, NULL));
    if (!is_abstract)
      printf("path %s\n", address.sun_path), unlink(address.sun_path);
  }
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
    DIE("socketpair");
  exchange(pair[0], pair[1]);
  memset(address.sun_path, 0, sizeof(address.sun_path));
  snprintf(address.sun_path, sizeof(address.sun_path), "/tmp/ragprof-dgram.%d", getpid());
  if (bind(datagrams, (void *)&address, sizeof(address)))
    DIE("bind");
  for (int i = 0; i < count; i++)
    if (sendto(sender, "01234", 5, 0, (void *)&address, sizeof(address)) != 5 ||
        recv(datagrams, (char[16]){0}, 16, 0) != 5)
      DIE("datagram");
  printf("datagrams %s\n", address.sun_path);
  unlink(address.sun_path);
}

/* One socket that is connected, and one that names whom it sends to. */
static void mode_udp(void) {
  struct sockaddr_storage address;
  int server = serve(AF_INET, SOCK_DGRAM, 0, &address);
  int connected = socket(AF_INET, SOCK_DGRAM, 0), loose = socket(AF_INET, SOCK_DGRAM, 0);
  struct sockaddr_storage from;
  socklen_t bytes = sizeof(from);
  char data[64];
  if (connect(connected, (void *)&address, size_of(&address)))
    DIE("connect");
  for (int i = 0; i < count; i++)
    if (send(connected, "0123456", 7, 0) != 7 ||
        recvfrom(server, data, 64, 0, (void *)&from, &bytes) != 7 ||
        sendto(loose, "0123", 4, 0, (void *)&address, size_of(&address)) != 4 ||
        recvfrom(server, data, 64, 0, (void *)&from, &bytes) != 4)
      DIE("udp");
  printf("port %u\n", ntohs(((struct sockaddr_in *)&address)->sin_port));
}

/* ---- connections ---- */

static void *answer_requests(void *argument) {
  int listener = *(int *)argument;
  for (int i = 0; i < count; i++) {
    int fd = accept(listener, NULL, NULL);
    if (fd < 0 || read(fd, (char[64]){0}, 64) != 9 || write(fd, "answer", 6) != 6)
      DIE("answer");
    close(fd);
  }
  return NULL;
}

/* To two servers in turn: the kernel uses the memory of a socket again for the next one. */
static void mode_per_request(void) {
  struct sockaddr_storage address[2];
  int listener[2];
  pthread_t thread[2];
  for (int i = 0; i < 2; i++) {
    listener[i] = serve(AF_INET, SOCK_STREAM, 5, &address[i]);
    pthread_create(&thread[i], NULL, answer_requests, &listener[i]);
    printf("port %u\n", ntohs(((struct sockaddr_in *)&address[i])->sin_port));
  }
  for (int i = 0; i < 2 * count; i++) {
    int fd = connect_to(&address[i & 1]);
    if (write(fd, "a request", 9) != 9 || recv(fd, (char[64]){0}, 6, MSG_WAITALL) != 6)
      DIE("request");
    close(fd);
  }
  for (int i = 0; i < 2; i++)
    pthread_join(thread[i], NULL);
}

static void mode_refused(void) {
  struct sockaddr_storage address;
  close(serve(AF_INET, SOCK_STREAM, 5, &address));
  for (int i = 0; i < count; i++) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (!connect(fd, (void *)&address, size_of(&address)) || errno != ECONNREFUSED)
      DIE("connect");
    close(fd);
  }
  printf("port %u\n", ntohs(((struct sockaddr_in *)&address)->sin_port));
}

static uint64_t NOINLINE connect_without_waiting(const struct sockaddr_storage *address) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), error = 0;
  socklen_t bytes = sizeof(error);
  uint64_t start_ns = wall_ns();
  if (!connect(fd, (void *)address, size_of(address)) || errno != EINPROGRESS)
    DIE("connect");
  poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, 5000);
  uint64_t ns = wall_ns() - start_ns;
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &bytes) || error)
    DIE("SO_ERROR");
  KEEP_FRAME();
  return ns;
}

static void *accept_later(void *argument) {
  usleep(400000);
  if (accept(*(int *)argument, NULL, NULL) < 0)
    DIE("accept");
  return NULL;
}

/* A full queue drops the first packet; the second one comes a second later. */
static void mode_slow_connect(void) {
  struct sockaddr_storage address;
  int listener = serve(AF_INET, SOCK_STREAM, 0, &address);
  pthread_t thread;
  connect_to(&address);
  pthread_create(&thread, NULL, accept_later, &listener);
  printf("ms %.3f\n", (double)connect_without_waiting(&address) / 1e6);
  printf("port %u\n", ntohs(((struct sockaddr_in *)&address)->sin_port));
  pthread_join(thread, NULL);
}

/* ---- what the protocol does ---- */

static void *answer_pairs(void *argument) {
  char data[20];
  int fd = accept(*(int *)argument, NULL, NULL);
  while (recv(fd, data, sizeof(data), MSG_WAITALL) == sizeof(data))
    if (write(fd, "ok", 2) != 2)
      break;
  return NULL;
}

static void NOINLINE wait_for_reply(int fd) {
  if (read(fd, (char[64]){0}, 64) != 2)
    DIE("read");
  KEEP_FRAME();
}

/* Write, write, read: the second write waits for the acknowledgement of the first, which the other
 * side puts off. */
static void mode_delayed_ack(void) {
  struct sockaddr_storage address;
  int listener = serve(AF_INET, SOCK_STREAM, 5, &address);
  pthread_t thread;
  uint64_t ns = 0;
  pthread_create(&thread, NULL, answer_pairs, &listener);
  int fd = connect_to(&address);
  for (int i = 0; i < count; i++) {
    if (write(fd, "0123456789", 10) != 10 || write(fd, "0123456789", 10) != 10)
      DIE("write");
    uint64_t start_ns = wall_ns();
    wait_for_reply(fd);
    ns += wall_ns() - start_ns;
  }
  printf("ms %.3f\n", (double)ns / 1e6);
  printf("port %u\n", ntohs(((struct sockaddr_in *)&address)->sin_port));
  shutdown(fd, SHUT_WR);
  pthread_join(thread, NULL);
}

/* The receiver drops what comes in, for a while. */
static void mode_retransmit(void) {
  struct sockaddr_storage address;
  struct sock_filter nothing = {.code = BPF_RET | BPF_K, .k = 0};
  struct sock_fprog program = {.len = 1, .filter = &nothing};
  struct tcp_info info = {0};
  socklen_t bytes = sizeof(info);
  int listener = serve(AF_INET, SOCK_STREAM, 5, &address);
  int client = connect_to(&address), server = accept(listener, NULL, NULL), unused = 0;
  if (write(client, "0", 1) != 1 || read(server, (char[4]){0}, 4) != 1 ||
      setsockopt(server, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) ||
      write(client, "0123456789", 10) != 10)
    DIE("filter");
  usleep(1500000);
  if (setsockopt(server, SOL_SOCKET, SO_DETACH_FILTER, &unused, sizeof(unused)) ||
      recv(server, (char[16]){0}, 10, MSG_WAITALL) != 10 ||
      getsockopt(client, IPPROTO_TCP, TCP_INFO, &info, &bytes))
    DIE("TCP_INFO");
  printf("retransmits %u\n", info.tcpi_total_retrans);
  printf("port %u\n", ntohs(((struct sockaddr_in *)&address)->sin_port));
}

static const struct {
  const char *name;
  void (*run)(void);
} modes[] = {
    {"v4", mode_v4},
    {"v6", mode_v6},
    {"mapped", mode_mapped},
    {"unix", mode_unix},
    {"udp", mode_udp},
    {"per-request", mode_per_request},
    {"refused", mode_refused},
    {"slow-connect", mode_slow_connect},
    {"delayed-ack", mode_delayed_ack},
    {"retransmit", mode_retransmit},
};

int main(int argc, char **argv) {
  if (argc > 2)
    count = atoi(argv[2]);
  for (size_t i = 0; argc > 1 && i < sizeof(modes) / sizeof(modes[0]); i++)
    if (!strcmp(modes[i].name, argv[1])) {
      modes[i].run();
      return 0;
    }
  return 2;
}
