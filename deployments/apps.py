from django.apps import AppConfig


class DeploymentsConfig(AppConfig):
    name = "deployments"

    def ready(self) -> None:
        # Models can be imported from here on only.
        from deployments import live, past_releases, served_versions, serving_cost
        from monitoring import outside_figures  # models too
        from registry import version_uses  # models too

        live.register_all()
        past_releases.register_all()
        outside_figures.register(cost=serving_cost.cost_per_day)
        version_uses.register(uses=served_versions.uses, served=served_versions.served)
