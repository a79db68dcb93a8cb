from django.apps import AppConfig


class DeploymentsConfig(AppConfig):
    name = "deployments"

    def ready(self) -> None:
        # Models can be imported from here on only.
        from deployments import live, past_releases

        live.register_all()
        past_releases.register_all()
