# SPDX-License-Identifier: GPL-2.0-or-later
"""Nearest neighbours by an inverted file: k-means cells over a memory-mapped file of vectors."""

import numpy as np

CELLS = 64
TRAINING_ROUNDS = 4


def _train_cells(vectors, seed=3):
    rng = np.random.default_rng(seed)
    sample = vectors[rng.choice(len(vectors), size=min(len(vectors), 4096), replace=False)]
    centroids = sample[:CELLS].copy()
    for _ in range(TRAINING_ROUNDS):
        nearest = np.argmax(sample @ centroids.T, axis=1)
        for cell in range(len(centroids)):
            members = sample[nearest == cell]
            if len(members):
                mean = members.mean(axis=0)
                centroids[cell] = mean / max(np.linalg.norm(mean), 1e-9)
    return centroids


class VectorIndex:
    """Vectors lie in the file sorted by cell, so that a probe reads one contiguous range."""

    def __init__(self, path, centroids, cell_starts, row_ids, shape):
        self._vectors = np.memmap(path, dtype=np.float32, mode="r", shape=shape)
        self._centroids = centroids
        self._cell_starts = cell_starts
        self._row_ids = row_ids

    @classmethod
    def build(cls, path, vectors):
        centroids = _train_cells(vectors)
        cells = np.argmax(vectors @ centroids.T, axis=1)
        row_ids = np.argsort(cells, kind="stable")
        cell_starts = np.searchsorted(cells[row_ids], np.arange(len(centroids) + 1))
        vectors[row_ids].tofile(path)
        return cls(path, centroids, cell_starts, row_ids, vectors.shape)

    def probe_cell(self, cell, query):
        """Scores of all vectors of one cell, with their document numbers."""
        start, end = self._cell_starts[cell], self._cell_starts[cell + 1]
        return self._vectors[start:end] @ query, self._row_ids[start:end]

    def search_vectors(self, query, limit=40, probes=12):
        """The `limit` best (document, score) among the `probes` cells nearest to the query."""
        nearest_cells = np.argsort(self._centroids @ query)[::-1][:probes]
        parts = [self.probe_cell(cell, query) for cell in nearest_cells]
        scores = np.concatenate([part[0] for part in parts])
        rows = np.concatenate([part[1] for part in parts])
        best = np.argsort(scores)[::-1][:limit]
        return [(int(rows[i]), float(scores[i])) for i in best]
