# SPDX-License-Identifier: GPL-2.0-or-later
"""Text to vectors: hashed character n-grams of each word through a two-layer network, mean-pooled.

The weights are a fixed random projection: words that share n-grams land near each other, which is
all that the demo needs from a model.
"""

import zlib

import numpy as np

from corpus import tokenize

FEATURES = 1024
HIDDEN = 256
DIMENSIONS = 128


def hash_ngrams(word):
    """Feature numbers of the word and of its 3- and 4-grams."""
    padded = "<" + word + ">"
    grams = [padded]
    for size in (3, 4):
        for start in range(len(padded) - size + 1):
            grams.append(padded[start : start + size])
    return [zlib.crc32(gram.encode()) % FEATURES for gram in grams]


class EmbeddingModel:
    def __init__(self, seed=7):
        rng = np.random.default_rng(seed)
        self._input = rng.standard_normal((FEATURES, HIDDEN), dtype=np.float32) / np.sqrt(FEATURES)
        self._output = rng.standard_normal((HIDDEN, DIMENSIONS), dtype=np.float32) / np.sqrt(HIDDEN)

    def featurize(self, words):
        """One row of n-gram counts per word: (len(words), FEATURES)."""
        features = np.zeros((len(words), FEATURES), dtype=np.float32)
        for row, word in enumerate(words):
            for feature in hash_ngrams(word):
                features[row, feature] += 1.0
        return features

    def encode_tokens(self, words):
        """One vector per word: (len(words), DIMENSIONS)."""
        hidden = np.tanh(self.featurize(words) @ self._input * 4.0)
        return hidden @ self._output

    def embed_query(self, text):
        """A unit vector for the text, and the vectors of its words for the reranker."""
        tokens = self.encode_tokens(tokenize(text))
        return normalize(tokens.mean(axis=0)), tokens

    def embed_documents(self, token_ids, vocabulary):
        """Unit vectors of documents given as rows of word numbers, padded with -1."""
        table = np.vstack([self.encode_tokens(vocabulary), np.zeros((1, DIMENSIONS), np.float32)])
        vectors = np.empty((len(token_ids), DIMENSIONS), dtype=np.float32)
        for start in range(0, len(token_ids), 2048):
            vectors[start : start + 2048] = table[token_ids[start : start + 2048]].sum(axis=1)
        return normalize(vectors), table[:-1]


def normalize(vectors):
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.maximum(norms, 1e-9)
