"""Whether more of a metric is better, by the words of its name. Pure.

The words are those of MLflow's evaluators and of scikit-learn's metrics, whose convention is also that names ending in
`_score` are better when higher and those ending in `_error` or `_loss` when lower. A name without any of them, or with
words that disagree, has no direction: unknown is not better.
"""

import re
from enum import StrEnum

HIGHER = (
    "accuracy auc auroc auprc precision recall f1 fbeta r2 score sensitivity specificity tpr tnr gini kappa mcc ndcg "
    "map bleu rouge dice iou jaccard likelihood lift"
)
LOWER = (
    "error loss mae mse rmse mape smape rmsle deviance brier perplexity logloss nll davies "
    "bouldin fpr fnr hamming divergence latency duration residual toxicity wer cer"
)
HIGHER_WORDS, LOWER_WORDS = frozenset(HIGHER.split()), frozenset(LOWER.split())


class Direction(StrEnum):
    HIGHER = "higher"
    LOWER = "lower"
    UNKNOWN = ""


def direction_of(metric: str) -> Direction:
    """Which way the metric is better: `val_log_loss` lower, `test_roc_auc` higher, `neg_mean_squared_error` higher."""
    words = re.findall(r"[a-z]+\d*|\d+", re.sub(r"([a-z])([A-Z])", r"\1 \2", metric).lower())
    is_higher, is_lower = bool(HIGHER_WORDS & set(words)), bool(LOWER_WORDS & set(words))
    if is_lower and not (HIGHER_WORDS - {"score"}) & set(words):
        is_higher = False  # `brier_score_loss`: what kind of score it is, the other word says
    if is_higher == is_lower:
        return Direction.UNKNOWN
    is_turned = "neg" in words or "negative" in words
    return Direction.HIGHER if is_higher != is_turned else Direction.LOWER
