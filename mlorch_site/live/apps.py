from django.apps import AppConfig


class LiveConfig(AppConfig):
    name = "mlorch_site.live"
    label = "live"
