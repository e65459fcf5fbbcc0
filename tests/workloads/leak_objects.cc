// SPDX-License-Identifier: GPL-2.0-or-later
// A server in C++ that leaks a known number of bytes a request, or is innocent in one of several
// ways. Prints what it leaked in all, as JSON.
//
// usage: leak_objects CASE REQUESTS PAUSE_US [BYTES]
#include <list>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "leak_http.h"

namespace {

std::size_t leak_bytes = 4096;
unsigned long long leaked_bytes;

NOINLINE void temporaries() {
  std::map<int, std::string> words;
  for (int i = 0; i < 30; i++)
    words[i] = std::string(20 + some(300), 'x');
}

struct Session {
  std::vector<char> buffer;
  explicit Session(std::size_t bytes) : buffer(bytes) {}
};

// Registered, never taken out. Grown in place by doubling would be noise: reserved ahead.
NOINLINE void register_session(std::size_t bytes) {
  static std::vector<Session *> registry;
  registry.reserve(100000);
  registry.push_back(new Session(bytes));
}

void leak(unsigned request) {
  static std::vector<std::string> lazy;
  if (request < 15)
    lazy.emplace_back(200000, 'y');
  temporaries();
  const std::size_t bytes = leak_bytes / 2 + some(leak_bytes);
  register_session(bytes);
  leaked_bytes += bytes;
}

// The least recently used goes once there are 150; nine of ten questions are among 200.
void lru(unsigned) {
  static std::list<std::pair<unsigned, std::string>> entries;
  static std::unordered_map<unsigned, decltype(entries)::iterator> index;
  temporaries();
  unsigned key = some(10) ? some(200) : some(10000);
  auto found = index.find(key);
  if (found != index.end()) {
    entries.splice(entries.begin(), entries, found->second);
    return;
  }
  entries.emplace_front(key, std::string(5000 + some(5000), 'z'));
  index[key] = entries.begin();
  if (entries.size() > 150) {
    index.erase(entries.back().first);
    entries.pop_back();
  }
}

// A table of what was ever seen, of which there are 120.
void rehash(unsigned) {
  static std::unordered_map<unsigned, std::vector<int>> seen;
  temporaries();
  seen[some(120)].assign(500, 1);
}

} // namespace

int main(int argc, char **argv) {
  const std::map<std::string, void (*)(unsigned)> cases = {
      {"leak", leak}, {"lru", lru}, {"rehash", rehash}};
  if (argc < 4 || !cases.count(argv[1]))
    return 2;
  if (argc > 4)
    leak_bytes = atol(argv[4]);
  int status = serve(atoi(argv[2]), atoi(argv[3]), cases.at(argv[1]));
  printf("{\"iterations\": %s, \"leaked_bytes\": %llu}\n", argv[2], leaked_bytes);
  return status;
}
