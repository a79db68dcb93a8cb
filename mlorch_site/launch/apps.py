from django.apps import AppConfig


class LaunchConfig(AppConfig):
    name = "mlorch_site.launch"
    label = "launch"
