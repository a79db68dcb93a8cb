"""Addresses of the pages of releases and endpoints."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import path

from mlorch_site.accounts.access import public


@public
def placeholder(request: HttpRequest, **kwargs: Any) -> HttpResponse:
    return HttpResponse("")


urlpatterns = [
    path("releases/<uuid:pk>/", placeholder, name="release"),
    path("", placeholder, name="overview"),
    path("sign-in/", placeholder, name="sign-in"),
]
