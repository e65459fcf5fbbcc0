/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns SHA-256 (FIPS 180-4) and base64. Here, because a hash of 80 KiB per page is no reason to
 * link a cryptographic library. */
#include "render/flame_digest.h"

#include <string.h>

static const uint32_t round_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t rotated(uint32_t word, int count) {
  return word >> count | word << (32 - count);
}

static void schedule(uint32_t words[64], const uint8_t block[64]) {
  for (int i = 0; i < 16; i++)
    words[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 |
               (uint32_t)block[4 * i + 2] << 8 | block[4 * i + 3];
  for (int i = 16; i < 64; i++) {
    uint32_t a = words[i - 15], b = words[i - 2];
    words[i] = words[i - 16] + (rotated(a, 7) ^ rotated(a, 18) ^ a >> 3) + words[i - 7] +
               (rotated(b, 17) ^ rotated(b, 19) ^ b >> 10);
  }
}

static void compress_block(uint32_t state[8], const uint8_t block[64]) {
  uint32_t words[64], v[8];
  schedule(words, block);
  memcpy(v, state, sizeof(v));
  for (int i = 0; i < 64; i++) {
    uint32_t choice = (v[4] & v[5]) ^ (~v[4] & v[6]);
    uint32_t majority = (v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]);
    uint32_t first = v[7] + (rotated(v[4], 6) ^ rotated(v[4], 11) ^ rotated(v[4], 25)) + choice +
                     round_constants[i] + words[i];
    uint32_t second = (rotated(v[0], 2) ^ rotated(v[0], 13) ^ rotated(v[0], 22)) + majority;
    memmove(&v[1], &v[0], 7 * sizeof(v[0]));
    v[4] += first;
    v[0] = first + second;
  }
  for (int i = 0; i < 8; i++)
    state[i] += v[i];
}

void digest_sha256(uint8_t digest[DIGEST_BYTES], const void *data, size_t bytes) {
  uint32_t state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                       0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  const uint8_t *at = data;
  size_t left = bytes;
  for (; left >= 64; at += 64, left -= 64)
    compress_block(state, at);
  uint8_t tail[128] = {0};
  memcpy(tail, at, left);
  tail[left] = 0x80;
  size_t tail_bytes = left < 56 ? 64 : 128;
  for (int i = 0; i < 8; i++)
    tail[tail_bytes - 1 - i] = (uint8_t)((uint64_t)bytes * 8 >> (8 * i));
  for (size_t i = 0; i < tail_bytes; i += 64)
    compress_block(state, tail + i);
  for (int i = 0; i < DIGEST_BYTES; i++)
    digest[i] = (uint8_t)(state[i / 4] >> (24 - 8 * (i % 4)));
}

void digest_put_base64(struct buf *buf, const void *data, size_t bytes) {
  static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const uint8_t *at = data;
  if (bytes > SIZE_MAX / 2 || !buf_reserve(buf, bytes / 3 * 4 + 4)) {
    buf->failed = true;
    return;
  }
  uint8_t *out = buf->data + buf->length;
  for (; bytes > 0; at += 3, out += 4) {
    size_t part = bytes < 3 ? bytes : 3;
    uint32_t word = (uint32_t)at[0] << 16 | (part > 1 ? at[1] << 8 : 0) | (part > 2 ? at[2] : 0);
    for (size_t i = 0; i < 4; i++)
      out[i] = i <= part ? (uint8_t)letters[word >> (18 - 6 * i) & 63] : '=';
    bytes -= part;
  }
  buf->length = (size_t)(out - buf->data);
}
