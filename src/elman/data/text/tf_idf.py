"""The weights of features of texts: TF-IDF, with rows of length 1.

Source:
    K. Sparck Jones, A Statistical Interpretation of Term Specificity, 1972; G. Salton and C. Buckley, Term-Weighting
    Approaches in Automatic Text Retrieval, 1988; smoothed as scikit-learn's `TfidfVectorizer(sublinear_tf=True)`.
"""

import numpy as np


def inverse_frequencies(texts: int, occurring: np.ndarray) -> np.ndarray:
    """Return 1 + ln((1 + n) / (1 + d)) for features that d of n texts have, `(features,)`.

    >>> inverse_frequencies(3, np.array([3, 1])).round(3).tolist()
    [1.0, 1.693]
    """
    return 1 + np.log((1 + texts) / (1 + occurring))


def unit_rows(row: np.ndarray, counts: np.ndarray, weights: np.ndarray, texts: int) -> np.ndarray:
    """Return (1 + ln c) · w for each entry, scaled so that the entries of a text have length 1.

    Args:
        row: the text of each entry, `(entries,)`.
        counts: occurrences c of the feature in the text, at least 1, `(entries,)`.
        weights: inverse frequency w of the feature, `(entries,)`.
        texts: number of texts.

    >>> unit_rows(np.array([0, 0]), np.array([1, 1]), np.array([3.0, 4.0]), 1).tolist()
    [0.6, 0.8]
    """
    values = (1 + np.log(counts)) * weights
    lengths = np.sqrt(np.bincount(row, weights=values * values, minlength=texts))
    return values / lengths[row]
