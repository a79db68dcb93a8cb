"""Addresses of notices, of what was sent, and of webhook subscriptions."""

from django.urls import path

from mlorch_site.notices.views import deliveries, notices, subscriptions

urlpatterns = [
    path("notices/", notices.notices, name="notices"),
    path("notices/bell/", notices.bell, name="bell"),
    path("notices/read/", notices.notices_all_read, name="notices-read"),
    path("notices/settings/", notices.notice_settings, name="notice-settings"),
    path("notices/<uuid:pk>/", notices.notice_open, name="notice-open"),
    path("deliveries/", deliveries.deliveries, name="deliveries"),
    path("deliveries/test-mail/", deliveries.mail_try, name="mail-test"),
    path("deliveries/<uuid:pk>/", deliveries.delivery, name="delivery"),
    path("deliveries/<uuid:pk>/<slug:action>/", deliveries.delivery_action, name="delivery-action"),
    path("subscriptions/", subscriptions.subscriptions, name="subscriptions"),
    path("subscriptions/<uuid:pk>/", subscriptions.subscription, name="subscription"),
    path("subscriptions/<uuid:pk>/<slug:action>/", subscriptions.subscription_action, name="subscription-action"),
]
