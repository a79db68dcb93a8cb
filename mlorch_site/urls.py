"""The index of every address of the site."""

from django.contrib import admin
from django.urls import path

from mlorch_site import health

urlpatterns = [
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("admin/", admin.site.urls),
]
