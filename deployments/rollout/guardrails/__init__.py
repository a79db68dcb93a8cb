"""Guardrails of a release: each kind in its file, `guardrail_kinds` is the list of them."""

from deployments.rollout.guardrails.error_rate import ERROR_RATE
from deployments.rollout.guardrails.guardrail_reading import guardrail_sentences, read_guardrails, sentence_of
from deployments.rollout.guardrails.latency_over_slo import LATENCY_OVER_SLO

__all__ = ["ERROR_RATE", "LATENCY_OVER_SLO", "guardrail_sentences", "read_guardrails", "sentence_of"]
