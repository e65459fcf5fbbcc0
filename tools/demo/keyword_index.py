# SPDX-License-Identifier: GPL-2.0-or-later
"""Keyword retrieval: SQLite FTS5 ranked by bm25. One connection per thread; the file is read-only
once it is built."""

import sqlite3
import threading

from corpus import tokenize

COMMON_SHARE = 0.1  # words in more documents than this say nothing, and cost most


class KeywordIndex:
    def __init__(self, path, common_words):
        self._path = path
        self._common_words = common_words
        self._local = threading.local()

    @classmethod
    def build(cls, path, texts):
        connection = sqlite3.connect(path)
        with connection:
            connection.execute("CREATE VIRTUAL TABLE passages USING fts5(body)")
            connection.executemany(
                "INSERT INTO passages(rowid, body) VALUES (?, ?)", enumerate(texts, start=1)
            )
            connection.execute("CREATE VIRTUAL TABLE words USING fts5vocab(passages, row)")
        common = connection.execute(
            "SELECT term FROM words WHERE doc > ?", (COMMON_SHARE * len(texts),)
        )
        common_words = frozenset(term for (term,) in common)
        connection.close()
        return cls(path, common_words)

    def _connection(self):
        if not hasattr(self._local, "connection"):
            self._local.connection = sqlite3.connect("file:%s?mode=ro" % self._path, uri=True)
        return self._local.connection

    def search_keywords(self, text, limit=40):
        """The `limit` best (document, score), better scores higher."""
        words = sorted(set(tokenize(text)) - self._common_words)
        if not words:
            return []
        rows = self._connection().execute(
            "SELECT rowid, -rank FROM passages WHERE passages MATCH ? ORDER BY rank LIMIT ?",
            (" OR ".join(words), limit),
        )
        return [(row - 1, score) for row, score in rows]

