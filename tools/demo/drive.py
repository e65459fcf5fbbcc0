#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Asks a RAG demo server questions from several clients and prints the rate and the latencies."""

import argparse
import http.client
import json
import sys
import threading
import time
import urllib.parse

import corpus


def run_client(address, seed, deadline, latencies_s, failures):
    connection = http.client.HTTPConnection(address, timeout=30)
    for question in corpus.questions(seed):
        if time.monotonic() >= deadline:
            break
        start = time.monotonic()
        try:
            connection.request("POST", "/query", json.dumps({"question": question}))
            response = connection.getresponse()
            response.read()
            if response.status != 200:
                raise ConnectionError("status %d" % response.status)
        except (OSError, http.client.HTTPException) as error:
            failures.append(str(error))
            connection.close()
            time.sleep(0.05)
            continue
        latencies_s.append(time.monotonic() - start)
    connection.close()


def percentile(ordered, share):
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def drive(address, client_count, duration_s, seed):
    """Counts, rate and latencies of one run, as a dictionary."""
    latencies_s, failures = [], []
    start = time.monotonic()
    clients = [
        threading.Thread(
            target=run_client,
            args=(address, seed * 1000 + number, start + duration_s, latencies_s, failures),
        )
        for number in range(client_count)
    ]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    elapsed_s = time.monotonic() - start
    ordered = sorted(latencies_s) or [float("nan")]
    return {
        "queries": len(latencies_s),
        "failures": len(failures),
        "first_failure": failures[0] if failures else None,
        "duration_s": round(elapsed_s, 3),
        "qps": round(len(latencies_s) / elapsed_s, 2),
        "p50_ms": round(percentile(ordered, 0.50) * 1000, 2),
        "p95_ms": round(percentile(ordered, 0.95) * 1000, 2),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", help="http://127.0.0.1:PORT, as the server prints it")
    parser.add_argument("-c", "--clients", type=int, default=4)
    parser.add_argument("-d", "--duration", type=float, default=10, metavar="SECONDS")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    address = urllib.parse.urlsplit(options.url).netloc
    result = drive(address, options.clients, options.duration, options.seed)
    if options.json:
        print(json.dumps(result))
    else:
        print(
            "%(queries)d queries in %(duration_s).1f s: %(qps).1f queries/s, p50 %(p50_ms).1f ms,"
            " p95 %(p95_ms).1f ms, %(failures)d failed" % result
        )
    if result["failures"]:
        print("drive: first failure: %s" % result["first_failure"], file=sys.stderr)
    return 1 if result["failures"] or not result["queries"] else 0


if __name__ == "__main__":
    sys.exit(main())
