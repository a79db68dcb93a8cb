from django.apps import AppConfig


class RegistryConfig(AppConfig):
    name = "registry"

    def ready(self) -> None:
        # Models can be imported from here on only.
        from registry.scope_kinds import register_all

        register_all()
