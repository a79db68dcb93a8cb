from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "mlorch_site.accounts"
    label = "accounts"
