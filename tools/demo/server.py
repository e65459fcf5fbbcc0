#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A small retrieval-augmented-generation service to profile.

POST /query {"question": "…"} answers with JSON: answer, sources, cached. GET /health answers "ok".
Listens on a free port of 127.0.0.1, prints "ready http://127.0.0.1:PORT pid PID", and ends on
SIGTERM or SIGINT.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# One BLAS thread per request thread: set before numpy loads its BLAS.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
import numpy as np  # noqa: E402

import corpus  # noqa: E402
from cache import LruCache  # noqa: E402
from embedding import EmbeddingModel  # noqa: E402
from generate import Generator  # noqa: E402
from keyword_index import KeywordIndex  # noqa: E402
from rerank import Reranker, fuse_candidates  # noqa: E402
from vector_index import VectorIndex  # noqa: E402


class Documents:
    """The texts, and for each the vectors of its words."""

    def __init__(self, texts):
        self.texts = texts
        words = [corpus.tokenize(text) for text in texts]
        self.vocabulary = sorted(set().union(*words))
        numbers = {word: number for number, word in enumerate(self.vocabulary)}
        self.token_ids = np.full((len(texts), max(map(len, words))), -1, dtype=np.int32)
        for row, document in enumerate(words):
            self.token_ids[row, : len(document)] = [numbers[word] for word in document]
        self.token_table = None

    def token_vectors(self, document):
        ids = self.token_ids[document]
        return self.token_table[ids[ids >= 0]]


class RagPipeline:
    """One query's way through the stages."""

    def __init__(self, data_dir, document_count, llm_port, cache_entries):
        self.model = EmbeddingModel()
        self.documents = Documents(corpus.documents(document_count))
        vectors, self.documents.token_table = self.model.embed_documents(
            self.documents.token_ids, self.documents.vocabulary
        )
        self.vectors = VectorIndex.build(os.path.join(data_dir, "vectors.f32"), vectors)
        self.keywords = KeywordIndex.build(
            os.path.join(data_dir, "passages.sqlite"), self.documents.texts
        )
        self.reranker = Reranker()
        self.generator = Generator(llm_port)
        self.cache = LruCache(cache_entries)

    def retrieve(self, question):
        query_vector, query_tokens = self.model.embed_query(question)
        by_vector = self.vectors.search_vectors(query_vector)
        by_keyword = self.keywords.search_keywords(question)
        return fuse_candidates(by_vector, by_keyword), query_tokens

    def answer_query(self, question):
        cached = self.cache.lookup(question)
        if cached is not None:
            return dict(cached, cached=True)
        candidates, query_tokens = self.retrieve(question)
        best = self.reranker.rerank_documents(
            query_tokens, candidates, self.documents.token_vectors
        )
        passages = [self.documents.texts[document] for document, _score in best]
        answer = {
            "answer": self.generator.generate_answer(question, passages),
            "sources": [document for document, _score in best],
        }
        self.cache.store(question, answer)
        return dict(answer, cached=False)


class QueryHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body leave in one write

    def do_GET(self):
        if self.path == "/health":
            self._reply(200, b"ok\n", "text/plain")
        else:
            self._reply(404, b'{"error": "no such page"}\n')

    def do_POST(self):
        try:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            question = json.loads(body)["question"]
            if self.path != "/query" or not isinstance(question, str) or not question.strip():
                raise ValueError(self.path)
        except (ValueError, KeyError, TypeError):
            self._reply(400, b'{"error": "POST {\\"question\\": \\"...\\"} to /query"}\n')
            return
        try:
            answer = self.server.pipeline.answer_query(question)
        except OSError as error:
            self._reply(502, json.dumps({"error": str(error)}).encode())
            return
        self._reply(200, json.dumps(answer).encode())

    def _reply(self, status, body, content_type="application/json"):
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args):
        pass


class QueryServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], ConnectionError):  # a client that left is no error
            super().handle_error(request, client_address)


def start_llm(first_token_ms, token_ms):
    """Starts the language model's stand-in; returns its process and port."""
    stub = os.path.join(os.path.dirname(os.path.abspath(__file__)), "llm_stub.py")
    process = subprocess.Popen(
        [sys.executable, stub, "--first-token-ms", str(first_token_ms), "--token-ms", str(token_ms)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    line = process.stdout.readline()
    if not line:
        sys.exit("demo server: the language model's stand-in did not start")
    return process, int(line)


def parse_options():
    parser = argparse.ArgumentParser(description="A small RAG service to profile.")
    parser.add_argument("--port", type=int, default=0, help="0, the default, takes a free one")
    parser.add_argument("--documents", type=int, default=24000)
    parser.add_argument("--cache-entries", type=int, default=512)
    parser.add_argument("--first-token-ms", type=float, default=25)
    parser.add_argument("--token-ms", type=float, default=3)
    return parser.parse_args()


def main():
    options = parse_options()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    llm, llm_port = start_llm(options.first_token_ms, options.token_ms)
    with tempfile.TemporaryDirectory(prefix="ragprof-demo-") as data_dir:
        server = QueryServer(("127.0.0.1", options.port), QueryHandler)
        server.pipeline = RagPipeline(
            data_dir, options.documents, llm_port, options.cache_entries
        )
        threading.Thread(target=server.serve_forever, name="accept", daemon=True).start()
        print("ready http://127.0.0.1:%d pid %d" % (server.server_address[1], os.getpid()), flush=True)
        stop.wait()
        server.shutdown()
    llm.stdin.close()
    llm.wait(timeout=5)


if __name__ == "__main__":
    main()
