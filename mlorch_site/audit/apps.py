from django.apps import AppConfig


class AuditConfig(AppConfig):
    name = "mlorch_site.audit"
    label = "audit"
