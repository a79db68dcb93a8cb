"""Our own files and those of the package lock are served from where they lie: nothing has to be collected first."""

import warnings

import pytest
from django.http import HttpResponse
from django.test import Client
from whitenoise.middleware import WhiteNoiseMiddleware


@pytest.fixture(autouse=True)
def _as_installed(settings):
    """Files are listed at the start, as everywhere but in tests."""
    settings.WHITENOISE_AUTOREFRESH = False


def test_start__nothing_collected__no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        served = WhiteNoiseMiddleware(lambda request: HttpResponse())

    assert "/static/css/mlorch.css" in served.files


@pytest.mark.parametrize("path", ["css/mlorch.css", "js/theme.js", "admin/css/base.css"])
def test_file__asked_for__served(path):
    assert Client().get(f"/static/{path}").status_code == 200
