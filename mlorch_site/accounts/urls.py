"""Addresses of sign-in and of a person's own pages."""

from django.urls import path

from mlorch_site.accounts import views

urlpatterns = [
    path("sign-in/", views.sign_in, name="sign-in"),
    path("sign-out/", views.sign_out, name="sign-out"),
    path("tokens/", views.tokens, name="tokens"),
    path("tokens/<uuid:pk>/revoke/", views.token_end, name="token-revoke"),
    path("password/", views.password, name="password"),
    path("preferences/", views.preferences, name="preferences"),
]
