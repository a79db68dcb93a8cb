from django.apps import AppConfig


class MonitoringConfig(AppConfig):
    name = "monitoring"

    def ready(self) -> None:
        # Models can be imported from here on only.
        from monitoring import live

        live.register_all()
