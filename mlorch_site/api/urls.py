"""REST addresses of the site itself, under /api/v1/."""

from csp.decorators import csp_update
from django.urls import path
from django.utils.decorators import method_decorator
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.route_permission import RoutePermission
from mlorch_site.api import absences, groups, notices, people, service_accounts, views


class SchemaView(SpectacularAPIView):
    """The OpenAPI 3.1 schema."""

    permission_classes = [RoutePermission]
    permission = Action.VIEW


# The one inline style of the page; its hash is told by the browser when it changes.
DOCS_STYLE = "'sha256-MMpT0iDxyjALd9PdfepImGX3DBfJPXZ4IlDWdPAgtn0='"


@method_decorator(csp_update({"style-src": DOCS_STYLE}), name="dispatch")
class DocsView(SpectacularSwaggerSplitView):
    """The schema as pages, without anything from elsewhere."""

    permission_classes = [RoutePermission]
    permission = Action.VIEW
    url_name = "api-schema"


urlpatterns = [
    path("tokens", views.TokenList.as_view(), name="api-tokens"),
    path("tokens/<uuid:pk>/revoke", views.TokenRevoke.as_view(), name="api-token-revoke"),
    path("absences", absences.AbsenceList.as_view(), name="api-absences"),
    path("absences/<int:number>/end", absences.AbsenceEnd.as_view(), name="api-absence-end"),
    path("tokens/<uuid:pk>/rotate", service_accounts.TokenRotate.as_view(), name="api-token-rotate"),
    path("service-accounts", service_accounts.ServiceAccountList.as_view(), name="api-service-accounts"),
    path(
        "service-accounts/<str:name>/tokens",
        service_accounts.ServiceAccountTokens.as_view(),
        name="api-service-account-tokens",
    ),
    path(
        "service-accounts/<str:name>/switch",
        service_accounts.ServiceAccountSwitch.as_view(),
        name="api-service-account-switch",
    ),
    path(
        "service-accounts/<str:name>/owner",
        service_accounts.ServiceAccountOwner.as_view(),
        name="api-service-account-owner",
    ),
    path("people/<str:name>/sessions", service_accounts.PersonSessionList.as_view(), name="api-sessions"),
    path(
        "people/<str:name>/sessions/<int:number>/end",
        service_accounts.PersonSessionEnd.as_view(),
        name="api-session-end",
    ),
    path("access", people.OwnAccess.as_view(), name="api-access"),
    path("access-review", people.AccessReview.as_view(), name="api-access-review"),
    path("access-review.csv", people.AccessReviewTable.as_view(), name="api-access-review-csv"),
    path("groups", groups.GroupList.as_view(), name="api-groups"),
    path("groups/<str:name>/members", groups.GroupMembers.as_view(), name="api-group-members"),
    path("groups/<str:name>/members/remove", groups.GroupMemberRemove.as_view(), name="api-group-member-remove"),
    path("people", people.PersonList.as_view(), name="api-people"),
    path("people/<str:name>/access", people.PersonAccess.as_view(), name="api-person-access"),
    path("people/<str:name>/bindings", people.PersonBindings.as_view(), name="api-bindings"),
    path("people/<str:name>/bindings/<int:number>/extend", people.BindingExtend.as_view(), name="api-binding-extend"),
    path("people/<str:name>/bindings/<int:number>/end", people.BindingEnd.as_view(), name="api-binding-end"),
    path("notices", notices.NoticeList.as_view(), name="api-notices"),
    path("notices/settings", notices.NoticeModes.as_view(), name="api-notice-settings"),
    path("notices/<uuid:pk>/read", notices.NoticeRead.as_view(), name="api-notice-read"),
    path("deliveries", notices.DeliveryList.as_view(), name="api-deliveries"),
    path("deliveries/<uuid:pk>/replay", notices.DeliveryReplay.as_view(), name="api-delivery-replay"),
    path("subscriptions", notices.SubscriptionList.as_view(), name="api-subscriptions"),
    path("subscriptions/<uuid:pk>/rotate", notices.SubscriptionRotate.as_view(), name="api-subscription-rotate"),
    path("subscriptions/<uuid:pk>/test", notices.SubscriptionTest.as_view(), name="api-subscription-test"),
    path("subscriptions/<uuid:pk>/enable", notices.SubscriptionEnable.as_view(), name="api-subscription-enable"),
    path("subscriptions/<uuid:pk>/disable", notices.SubscriptionDisable.as_view(), name="api-subscription-disable"),
    path("subscriptions/<uuid:pk>/end", notices.SubscriptionEnd.as_view(), name="api-subscription-end"),
    path("audit/events", views.AuditList.as_view(), name="api-audit"),
    path("audit/verify", views.AuditVerify.as_view(), name="api-audit-verify"),
    path("schema/", SchemaView.as_view(), name="api-schema"),
    path("docs/", DocsView.as_view(), name="api-docs"),
]
