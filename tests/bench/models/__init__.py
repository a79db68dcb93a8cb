"""Models made for benchmarks, where a model of the wild would not do."""
