from django.apps import AppConfig


class RegistryConfig(AppConfig):
    name = "registry"

    def ready(self) -> None:
        # Models can be imported from here on only.
        from mlorch_site.accounts import consequences
        from registry import live, operators  # models too
        from registry.approvals import electorate  # models too
        from registry.scope_kinds import register_all  # models too

        consequences.register(electorate.unmeetable_rules)
        consequences.register(operators.operators_lost)
        register_all()
        live.register_all()
