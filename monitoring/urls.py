"""Addresses of chart data, under /live/charts/."""

from django.urls import path

from monitoring.views import charts

urlpatterns = [path("<str:environment>/<str:endpoint>.json", charts.points, name="chart-points")]
