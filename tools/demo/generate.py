# SPDX-License-Identifier: GPL-2.0-or-later
"""Generation: a streaming chat completion from a language model server over HTTP."""

import http.client
import json
import threading


def build_prompt(question, passages):
    context = "\n".join("[%d] %s" % (n, text) for n, text in enumerate(passages, start=1))
    return "Answer from these passages only.\n%s\n\nQuestion: %s\nAnswer:" % (context, question)


class Generator:
    """Keeps one connection per thread to the server at 127.0.0.1:`port`."""

    def __init__(self, port, max_tokens=20):
        self._port = port
        self._max_tokens = max_tokens
        self._local = threading.local()

    def _connection(self):
        if not hasattr(self._local, "connection"):
            self._local.connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        return self._local.connection

    def stream_tokens(self, prompt):
        """Yields the answer's pieces as the server sends them (server-sent events)."""
        body = json.dumps(
            {
                "messages": [{"role": "user", "content": prompt}],
                "max_tokens": self._max_tokens,
                "stream": True,
            }
        )
        connection = self._connection()
        try:
            connection.request(
                "POST", "/v1/chat/completions", body, {"Content-Type": "application/json"}
            )
            response = connection.getresponse()
            if response.status != 200:
                raise ConnectionError("the language model answered %d" % response.status)
            for line in response:
                if not line.startswith(b"data: ") or line.startswith(b"data: [DONE]"):
                    continue
                delta = json.loads(line[6:])["choices"][0]["delta"]
                if "content" in delta:
                    yield delta["content"]
        except (OSError, http.client.HTTPException):
            connection.close()
            raise

    def generate_answer(self, question, passages):
        return "".join(self.stream_tokens(build_prompt(question, passages)))
