"""Answers without pandas or MLflow's checks per call, where that was shown to give the same."""
