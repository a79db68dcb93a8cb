from django.apps import AppConfig


class DeploymentsConfig(AppConfig):
    name = "deployments"

    def ready(self) -> None:
        from deployments.hearing import hear_approvals
        from deployments.topics import register_topics

        register_topics()
        hear_approvals()
