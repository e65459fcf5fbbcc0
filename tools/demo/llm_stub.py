# SPDX-License-Identifier: GPL-2.0-or-later
"""Stands in for a language model server: streams words of the prompt as chat completion events,
with a delay before the first token and between tokens.

Prints its port on the first line of stdout, and ends when its stdin is closed: it cannot outlive
the server that started it.
"""

import argparse
import json
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from corpus import tokenize


class CompletionHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompt = request["messages"][-1]["content"]
        words = tokenize(prompt)[-200:]
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        time.sleep(self.server.first_token_s)
        for number in range(request.get("max_tokens", 16)):
            if number:
                time.sleep(self.server.token_s)
            word = words[number * 7 % len(words)]
            self._send_event(json.dumps({"choices": [{"delta": {"content": word + " "}}]}))
        self._send_event("[DONE]")
        self.wfile.write(b"0\r\n\r\n")

    def _send_event(self, data):
        event = ("data: %s\n\n" % data).encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))

    def log_message(self, *_args):
        pass


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first-token-ms", type=float, default=25)
    parser.add_argument("--token-ms", type=float, default=3)
    options = parser.parse_args()
    server = ThreadingHTTPServer(("127.0.0.1", 0), CompletionHandler)
    server.daemon_threads = True
    server.first_token_s = options.first_token_ms / 1000
    server.token_s = options.token_ms / 1000
    print(server.server_address[1], flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()
    os._exit(0)  # request threads may still be streaming to a client that is gone


if __name__ == "__main__":
    main()
