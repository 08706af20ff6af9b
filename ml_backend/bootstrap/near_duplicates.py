"""Clusters of images that look alike, so that annotators do not get ten equal frames in a row."""

import numpy as np
from numpy.typing import NDArray

MAX_BITS = 8
"""The most bits, of 64, in which the perceptual hashes of near-duplicates differ.

Measured on 80 photographs: 0 to 4 after saving at JPEG quality 20 and half the size; 0 to 8 if brighter by a fifth; up to 10 if shifted
by 3 % (half of them up to 4); at least 16 between two different photographs.
"""

MAX_COMPARISONS = 4_000_000  # at once; of 8 bytes each


class NearDuplicates:
    """Numbers the clusters of near-duplicates, in 8 bytes of memory for each cluster.

    Clusters do not grow by chains: an image belongs to one only if it looks like its first image, so a slow pan becomes several clusters.
    """

    def __init__(self) -> None:
        self._first: NDArray[np.uint64] = np.empty(1024, np.uint64)
        self._clusters = 0

    def __len__(self) -> int:
        return self._clusters

    def number_all(self, hashes: NDArray[np.uint64]) -> list[int]:
        """Return the number of the cluster of each image, from 1. It does not depend on how images are split into calls.

        Args:
            hashes: uint64 [N], perceptual hashes, in the order of the job.
        """
        numbers = self._among(self._first[: self._clusters], hashes)
        before = self._clusters
        for place in np.flatnonzero(numbers == 0):
            # Images without an earlier cluster may belong to each other.
            (number,) = self._among(self._first[before : self._clusters], hashes[place : place + 1])
            numbers[place] = number + before if number else self._found(hashes[place])
        return [int(number) for number in numbers]

    def _found(self, perceptual_hash: np.uint64) -> int:
        if self._clusters == len(self._first):
            self._first = np.concatenate([self._first, np.empty_like(self._first)])
        self._first[self._clusters] = perceptual_hash
        self._clusters += 1
        return self._clusters

    @staticmethod
    def _among(first: NDArray[np.uint64], hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return, for each hash, the number from 1 of the first one that it looks like, or 0."""
        numbers = np.zeros(len(hashes), np.int64)
        if not len(first):
            return numbers
        step = max(1, MAX_COMPARISONS // len(first))
        for begin in range(0, len(hashes), step):
            part = hashes[begin : begin + step]
            alike = np.bitwise_count(part[:, None] ^ first[None, :]) <= MAX_BITS
            numbers[begin : begin + step] = np.where(alike.any(axis=1), alike.argmax(axis=1) + 1, 0)
        return numbers
