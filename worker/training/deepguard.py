"""Whether deep clusters may take the place of those of k-means, which they come from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import normalized_mutual_info_score, silhouette_score

AGREEMENT_FLOOR = 0.6  # below it they are other clusters, and not the same ones made clearer
SAMPLE = 2000  # texts of the silhouette: it compares all with all

Labels = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Verdict:
    """`agreement` is the NMI of both. Silhouettes are of equal texts, in the space of the embeddings as they came: in
    a space that was made for them, deep clusters always look better.
    """

    empty: int
    agreement: float
    silhouette: float
    kmeans_silhouette: float

    @property
    def refused(self) -> str | None:
        """Why k-means is kept, in one line; None where it need not be."""
        if self.empty:
            return f"{self.empty} of its clusters are empty"
        if self.agreement < AGREEMENT_FLOOR:
            return f"it agrees with k-means by NMI {self.agreement:.3f} only, less than {AGREEMENT_FLOOR}"
        if self.silhouette < self.kmeans_silhouette:
            return f"its silhouette is {self.silhouette:.4f}, that of k-means {self.kmeans_silhouette:.4f}"
        return None


def judge(rows: NDArray[np.float32], kmeans: Labels, deep: Labels, *, k: int, seed: int) -> Verdict:
    """Of unit `rows` [n, d] and the places of their clusters, `k` of them, by both."""
    return Verdict(
        empty=k - len(np.unique(deep)),
        agreement=float(normalized_mutual_info_score(kmeans, deep)),
        silhouette=_silhouette(rows, deep, seed),
        kmeans_silhouette=_silhouette(rows, kmeans, seed),
    )


def _silhouette(rows: NDArray[np.float32], labels: Labels, seed: int) -> float:
    """-1 where there is nothing to tell apart."""
    sample = np.random.default_rng(seed).permutation(len(rows))[:SAMPLE]
    found = len(np.unique(labels[sample]))
    if not 1 < found < len(sample):
        return -1.0
    return float(silhouette_score(rows[sample], labels[sample], metric="cosine"))
