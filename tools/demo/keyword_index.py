# SPDX-License-Identifier: GPL-2.0-or-later
"""Keyword retrieval: SQLite FTS5 ranked by bm25. One connection per thread; the file is read-only
once it is built."""

import sqlite3
import threading

from corpus import tokenize


class KeywordIndex:
    def __init__(self, path):
        self._path = path
        self._local = threading.local()

    @classmethod
    def build(cls, path, texts):
        connection = sqlite3.connect(path)
        with connection:
            connection.execute("CREATE VIRTUAL TABLE passages USING fts5(body)")
            connection.executemany(
                "INSERT INTO passages(rowid, body) VALUES (?, ?)", enumerate(texts, start=1)
            )
        connection.close()
        return cls(path)

    def _connection(self):
        if not hasattr(self._local, "connection"):
            self._local.connection = sqlite3.connect("file:%s?mode=ro" % self._path, uri=True)
        return self._local.connection

    def search_keywords(self, text, limit=40):
        """The `limit` best (document, score), better scores higher."""
        words = sorted(set(tokenize(text)) - STOP_WORDS)
        if not words:
            return []
        rows = self._connection().execute(
            "SELECT rowid, -bm25(passages) FROM passages WHERE passages MATCH ?"
            " ORDER BY bm25(passages) LIMIT ?",
            (" OR ".join(words), limit),
        )
        return [(row - 1, score) for row, score in rows]


STOP_WORDS = frozenset("a an and does how in is it need of the to what when where why with".split())
