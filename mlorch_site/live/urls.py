"""Addresses of the polling twins, under /live/."""

from django.urls import path

from mlorch_site.live import views

urlpatterns = [path("events.json", views.events, name="live-events")]
