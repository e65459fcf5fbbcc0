/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The reasons for waiting, and what a system call says about them before one has looked closer. */
#ifndef RAGPROF_BPF_REASONS_H
#define RAGPROF_BPF_REASONS_H

/* enum wait_reason of userspace/trace/trace.h, which cannot be included here. */
enum {
  REASON_UNKNOWN = 0,
  REASON_DISK = 1,
  REASON_FUTEX = 2,
  REASON_GIL = 3,
  REASON_SOCKET = 4,
  REASON_TIMER = 5,
  REASON_PAGE_FAULT = 6,
  REASON_RUN_QUEUE = 7,
  REASON_PIPE = 8,
  REASON_CHILD = 9,
  REASON_SIGNAL = 10,
  REASON_STOPPED = 11,
};

/* Not reasons: the system call has to be looked at more closely. */
#define LOOK_AT_FD 100      /* by the kind of file in the first argument */
#define LOOK_AT_FUTEX 101   /* by the address in the first argument */
#define LOOK_AT_COUNT_1 102 /* select: with no descriptors it is a sleep */
#define LOOK_AT_COUNT_2 103 /* poll: the number of descriptors is the second argument */

/* What a system call does, for the accounts of files and sockets. */
enum io_kind {
  IO_NONE = 0,
  IO_FD,    /* its first argument is a descriptor; its result is no count of bytes */
  IO_READ,  /* bytes, in */
  IO_WRITE, /* bytes, out */
  IO_SYNC,
  IO_OPEN,   /* its result is a descriptor */
  IO_ACCEPT, /* the same; its first argument is one as well */
  IO_CONNECT,
  IO_MMAP,      /* its fifth argument is a descriptor */
  IO_SENDFILE,  /* writes to its first argument what it read from its second */
  IO_SPLICE,    /* reads from its first argument what it writes to its third */
  IO_SEND_MANY, /* its result is a number of messages */
  IO_RECEIVE_MANY,
  IO_CLOSE,     /* its first argument was a descriptor */
  IO_KINDS = 64 /* a power of two; tables of 16 or 32 bytes get sections that the linker mixes up */
};

/* Where a system call has a message, and the address that goes with it. */
enum message_form {
  MESSAGE_NONE = 0,
  MESSAGE_PLAIN,  /* its second argument points to it */
  MESSAGE_TO,     /* the same; its fifth and sixth are an address and its size */
  MESSAGE_FROM,   /* the same; its fifth points to room for an address */
  MESSAGE_VECTOR, /* its second points to a vector of pieces, the third is their number */
  MESSAGE_HEADER, /* its second points to a struct msghdr */
  MESSAGE_HEADERS /* to several struct mmsghdr */
};

#endif
