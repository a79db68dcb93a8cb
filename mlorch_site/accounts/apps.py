from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "mlorch_site.accounts"
    label = "accounts"

    def ready(self) -> None:
        # Models can be imported from here on only.
        from mlorch_site.accounts import live

        live.register_all()
