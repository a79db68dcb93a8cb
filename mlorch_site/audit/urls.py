"""Addresses of the audit log."""

from django.urls import path

from mlorch_site.audit import views

urlpatterns = [
    path("audit/", views.audit_log, name="audit"),
    path("audit/verify/", views.audit_verify, name="audit-verify"),
    path("audit/export.jsonl", views.audit_export, name="audit-export"),
    path("audit/verify_export.py", views.audit_verifier, name="audit-verifier"),
]
