"""Distances and what chance makes of them: published numbers, scipy as oracle."""

import math

import numpy as np
import pytest
import scipy.spatial.distance
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from monitoring.drift import chance, distances

counts = st.integers(2, 12).flatmap(
    lambda bins: st.tuples(*[st.lists(st.integers(1, 500), min_size=bins, max_size=bins)] * 2)
)


def test_psi__published_example__is_reproduced():
    assert distances.psi([0.2, 0.3, 0.5], [0.25, 0.25, 0.5]) == pytest.approx(0.0202733, abs=5e-8)


def test_psi__empty_bin__counts_as_one_in_ten_thousand():
    assert distances.psi([0.5, 0.5, 0.0], [0.5, 0.4, 0.1]) == pytest.approx(
        -0.1 * math.log(0.8) + (0.1 - 1e-4) * math.log(1000)
    )


@given(counts)
def test_distances__any_counts__agree_with_scipy(pair):
    p, q = (distances.shares(one) for one in pair)
    assert distances.jensen_shannon(p, q) == pytest.approx(scipy.spatial.distance.jensenshannon(p, q, base=2), abs=1e-7)
    values = np.arange(len(p))
    moved = scipy.stats.wasserstein_distance(values, values, p, q) / (len(p) - 1)
    assert distances.wasserstein(p, q) == pytest.approx(moved, abs=1e-9)
    samples = [np.repeat(values, one) for one in pair]
    assert distances.kolmogorov_smirnov(p, q) == pytest.approx(scipy.stats.ks_2samp(*samples).statistic, abs=1e-9)
    assert (
        distances.psi(p, q) == pytest.approx(scipy.stats.entropy(p, q) + scipy.stats.entropy(q, p), abs=1e-9)
        or min(*p, *q) < distances.FLOOR
    )


@pytest.mark.parametrize("degrees", [1, 2, 5, 9, 50])
@pytest.mark.parametrize("share", [0.9, 0.99, 0.9999])
def test_chi_square__quantile__is_near_that_of_scipy(degrees, share):
    assert chance.chi_square_quantile(share, degrees) == pytest.approx(scipy.stats.chi2.ppf(share, degrees), rel=0.03)


def test_ks_by_chance__five_percent__is_the_table_value():
    assert chance.ks_by_chance(100, 400, 0.05) == pytest.approx(1.358099 * math.sqrt(500 / 40_000), rel=1e-5)
