#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The demo's retrieval and reranking in a loop, without its server and without a language model, whose
answers are only decoded: nothing waits, so any cost shows. Prints queries and seconds, as JSON.

usage: rag_loop.py SECONDS"""

import json
import os
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools", "demo"))
sys.dont_write_bytecode = True
import server  # noqa: E402
from corpus import questions  # noqa: E402
from generate import build_prompt  # noqa: E402

TOKENS = 20
WARMUP_QUERIES = 20


class RecordedModel:
    """Instead of the generator: the server-sent events of an answer, decoded one by one."""

    def generate_answer(self, question, passages):
        prompt = json.dumps({"messages": [{"role": "user", "content": build_prompt(question, passages)}]})
        words = prompt.split()[:TOKENS]
        lines = [json.dumps({"choices": [{"delta": {"content": word + " "}}]}) for word in words]
        return "".join(json.loads(line)["choices"][0]["delta"]["content"] for line in lines)


def main():
    seconds = float(sys.argv[1])
    with tempfile.TemporaryDirectory(prefix="ragprof-bench-") as folder:
        pipeline = server.RagPipeline(folder, 2000, 0, 0)
        pipeline.generator = RecordedModel()
        asked = questions()
        for _ in range(WARMUP_QUERIES):
            pipeline.answer_query(next(asked))
        start, start_cpu, count = time.monotonic(), time.process_time(), 0
        while time.monotonic() - start < seconds:
            pipeline.answer_query(next(asked))
            count += 1
        print(json.dumps({"queries": count, "wall_s": time.monotonic() - start,
                          "cpu_s": time.process_time() - start_cpu}))


if __name__ == "__main__":
    main()
