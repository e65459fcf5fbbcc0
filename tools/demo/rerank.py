# SPDX-License-Identifier: GPL-2.0-or-later
"""Reranking: every candidate is scored against the query, word pair by word pair, by a small
network. Fusing the two retrievals beforehand is done here too."""

import numpy as np

from embedding import DIMENSIONS, normalize

HIDDEN = 32
PAIRED_WORDS = 24


def fuse_candidates(*rankings, limit=32, smoothing=60):
    """Reciprocal rank fusion (Cormack, Clarke, Buettcher 2009): the best documents of all lists."""
    fused = {}
    for ranking in rankings:
        for rank, (document, _score) in enumerate(ranking):
            fused[document] = fused.get(document, 0.0) + 1.0 / (smoothing + rank)
    return sorted(fused, key=fused.get, reverse=True)[:limit]


class Reranker:
    def __init__(self, seed=11):
        rng = np.random.default_rng(seed)
        self._pair = rng.standard_normal((DIMENSIONS, HIDDEN), dtype=np.float32) / np.sqrt(DIMENSIONS)
        self._score = np.abs(rng.standard_normal(HIDDEN, dtype=np.float32)) / HIDDEN

    def score_pair(self, query_tokens, document_tokens):
        """How well one document answers: each query word's best match among the document's."""
        similarity = query_tokens @ document_tokens.T
        matches = document_tokens[np.argmax(similarity, axis=1)]
        hidden = np.maximum((query_tokens * matches) @ self._pair, 0.0)
        return float(similarity.max(axis=1).sum() + (hidden @ self._score).sum())

    def rerank_documents(self, query_tokens, candidates, token_vectors_of, limit=5):
        """The `limit` best of `candidates`; token_vectors_of(document) gives its word vectors."""
        query_tokens = normalize(query_tokens)
        scored = []
        for document in candidates:
            document_tokens = normalize(token_vectors_of(document)[:PAIRED_WORDS])
            scored.append((self.score_pair(query_tokens, document_tokens), document))
        scored.sort(reverse=True)
        return [(document, score) for score, document in scored[:limit]]
