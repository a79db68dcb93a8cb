from django.apps import AppConfig


class RegistryConfig(AppConfig):
    name = "registry"

    def ready(self) -> None:
        # Models can be imported from here on only.
        from mlorch_site.accounts import consequences
        from registry.approvals import electorate  # the same
        from registry.scope_kinds import register_all  # the same

        consequences.register(electorate.unmeetable_rules)
        register_all()
