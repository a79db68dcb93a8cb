from django.apps import AppConfig


class NoticesConfig(AppConfig):
    name = "mlorch_site.notices"
    label = "notices"

    def ready(self) -> None:
        # Models can be imported from here on only.
        from mlorch_site.notices import live

        live.register_all()
