"""REST of the caller's notices, of what was sent, and of webhook subscriptions."""

from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.route_permission import SIGNED_IN
from mlorch_site.accounts.selectors import actor_of
from mlorch_site.api.idempotency import idempotent
from mlorch_site.lib.api import read_body
from mlorch_site.notices import deliveries, limits
from mlorch_site.notices.filters import DeliveryFilter
from mlorch_site.notices.lifecycle import MessageFormat
from mlorch_site.notices.models import Delivery, DeliveryAttempt, Notice, Subscription
from mlorch_site.notices.selectors import (
    deliveries_visible_to,
    delivery_for,
    modes_of,
    notices_visible_to,
    subscription_for,
    subscriptions_visible_to,
)
from mlorch_site.notices.services import notice_read, notice_settings_set
from mlorch_site.notices.subscriptions import (
    SubscriptionWish,
    subscription_create,
    subscription_disable,
    subscription_enable,
    subscription_end,
    subscription_rotate,
    subscription_test,
)


class NoticeSerializer(serializers.ModelSerializer[Notice]):
    """A notice; `settled_at` is when it stopped waiting for the caller."""

    url = serializers.SerializerMethodField()

    class Meta:
        model = Notice
        fields = ["id", "kind", "thing", "title", "sentence", "created_at", "read_at", "settled_at", "url"]

    def get_url(self, notice: Notice) -> str:
        return f"{settings.WEB_URL}{notice.path}"


class NoticeList(generics.ListAPIView[Notice]):
    """The caller's own notices, newest first."""

    permission = SIGNED_IN
    serializer_class = NoticeSerializer
    queryset = Notice.objects.none()

    def get_queryset(self) -> QuerySet[Notice]:
        return notices_visible_to(actor_of(self.request._request))


class NoticeRead(APIView):
    """Note that the caller has read a notice."""

    permission = SIGNED_IN

    @extend_schema(request=None, responses={200: NoticeSerializer})
    def post(self, request: Request, pk: str) -> Response:
        return Response(NoticeSerializer(notice_read(actor=actor_of(request._request), notice_id=pk)).data)


class NoticeModesSerializer(serializers.Serializer[Any]):
    """Kind → `at_once`, `digest` or `off`: how the caller is told by e-mail. Kinds that are not named stay."""

    modes = serializers.DictField(child=serializers.CharField(max_length=20))


class NoticeModes(APIView):
    """How the caller is told by e-mail."""

    permission = SIGNED_IN

    @extend_schema(responses={200: NoticeModesSerializer})
    def get(self, request: Request) -> Response:
        return Response({"modes": modes_of(actor_of(request._request))})

    @extend_schema(request=NoticeModesSerializer, responses={200: NoticeModesSerializer})
    @idempotent
    def patch(self, request: Request) -> Response:
        body = read_body(NoticeModesSerializer, request)
        found = notice_settings_set(actor=actor_of(request._request), modes=body["modes"])
        return Response({"modes": found.modes})


class AttemptSerializer(serializers.ModelSerializer[DeliveryAttempt]):
    class Meta:
        model = DeliveryAttempt
        fields = ["number", "at", "outcome", "status", "error", "duration_ms"]


class DeliverySerializer(serializers.ModelSerializer[Delivery]):
    """One message on its way out, with every attempt."""

    person = serializers.CharField(source="person.username", default=None)
    attempts = AttemptSerializer(source="tries", many=True)

    class Meta:
        model = Delivery
        fields = [
            "id",
            "message_id",
            "channel",
            "kind",
            "thing",
            "title",
            "person",
            "subscription",
            "status",
            "last_error",
            "created_at",
            "due_at",
            "sent_at",
            "attempts",
        ]


class DeliveryList(generics.ListAPIView[Delivery]):
    """What was sent, waits or was given up, newest first."""

    permission = Action.NOTICE_MANAGE
    serializer_class = DeliverySerializer
    filterset_class = DeliveryFilter
    queryset = Delivery.objects.none()

    def get_queryset(self) -> QuerySet[Delivery]:
        return deliveries_visible_to(actor_of(self.request._request))


class DeliveryReplay(APIView):
    """Send a delivery once more, under the same id."""

    permission = Action.NOTICE_MANAGE

    @extend_schema(request=None, responses={200: DeliverySerializer})
    @idempotent
    def post(self, request: Request, pk: str) -> Response:
        actor = actor_of(request._request)
        deliveries.delivery_replay(actor=actor, delivery=delivery_for(actor, pk))
        return Response(DeliverySerializer(delivery_for(actor, pk)).data)


class SubscriptionSerializer(serializers.ModelSerializer[Subscription]):
    """A subscription without its secret."""

    created_by = serializers.CharField(source="created_by.username")
    url = serializers.CharField(source="shown_url", read_only=True)

    class Meta:
        model = Subscription
        fields = [
            "id",
            "name",
            "url",
            "format",
            "kinds",
            "environments",
            "created_by",
            "created_at",
            "former_until",
            "failures",
            "succeeded_at",
            "disabled_at",
            "disabled_reason",
        ]


class SubscriptionRequestSerializer(serializers.Serializer[Any]):
    """The body of `POST /subscriptions`: `environments` are names, or `["*"]` for all."""

    name = serializers.CharField(max_length=limits.NAME_MAX_CHARS)
    url = serializers.CharField(max_length=limits.URL_MAX_CHARS)
    kinds = serializers.ListField(child=serializers.CharField(max_length=40), max_length=50)
    environments = serializers.ListField(child=serializers.CharField(max_length=40), max_length=200)
    format = serializers.ChoiceField(choices=list(MessageFormat), default=MessageFormat.STANDARD.value)


class SubscriptionList(generics.ListAPIView[Subscription]):
    """Webhook subscriptions."""

    is_sensitive = True
    permission = Action.NOTICE_MANAGE
    serializer_class = SubscriptionSerializer
    queryset = Subscription.objects.none()

    def get_queryset(self) -> QuerySet[Subscription]:
        return subscriptions_visible_to(actor_of(self.request._request))

    @extend_schema(request=SubscriptionRequestSerializer, responses={201: dict})
    def post(self, request: Request) -> Response:
        """Make a subscription; the secret in the answer is shown only now."""
        body = read_body(SubscriptionRequestSerializer, request)
        wish = SubscriptionWish(**body)
        made, secret = subscription_create(actor=actor_of(request._request), wish=wish)
        answer = {**SubscriptionSerializer(made).data, "secret": secret}
        return Response(answer, status=status.HTTP_201_CREATED)


class SubscriptionReasonSerializer(serializers.Serializer[Any]):
    reason = serializers.CharField(max_length=500, allow_blank=True, default="")


class SubscriptionRotate(APIView):
    """Give a subscription another secret, which the answer shows; the former one signs too for a day."""

    permission = Action.NOTICE_MANAGE

    @extend_schema(request=None, responses={200: dict})
    def post(self, request: Request, pk: str) -> Response:
        actor = actor_of(request._request)
        found, secret = subscription_rotate(actor=actor, subscription=subscription_for(actor, pk))
        return Response({**SubscriptionSerializer(found).data, "secret": secret})


class SubscriptionTest(APIView):
    """Send a webhook of the type `test`."""

    permission = Action.NOTICE_MANAGE

    @extend_schema(request=None, responses={202: DeliverySerializer})
    @idempotent
    def post(self, request: Request, pk: str) -> Response:
        actor = actor_of(request._request)
        made = subscription_test(actor=actor, subscription=subscription_for(actor, pk))
        return Response(DeliverySerializer(delivery_for(actor, made.pk)).data, status=status.HTTP_202_ACCEPTED)


class SubscriptionEnable(APIView):
    """Enable a subscription again."""

    permission = Action.NOTICE_MANAGE

    @extend_schema(request=None, responses={200: SubscriptionSerializer})
    @idempotent
    def post(self, request: Request, pk: str) -> Response:
        actor = actor_of(request._request)
        found = subscription_enable(actor=actor, subscription=subscription_for(actor, pk))
        return Response(SubscriptionSerializer(found).data)


class SubscriptionDisable(APIView):
    """Send nothing to a subscription until it is enabled again."""

    permission = Action.NOTICE_MANAGE
    service = staticmethod(subscription_disable)

    @extend_schema(request=SubscriptionReasonSerializer, responses={200: SubscriptionSerializer})
    @idempotent
    def post(self, request: Request, pk: str) -> Response:
        body = read_body(SubscriptionReasonSerializer, request)
        actor = actor_of(request._request)
        found = self.service(actor=actor, subscription=subscription_for(actor, pk), **body)
        return Response(SubscriptionSerializer(found).data)


class SubscriptionEnd(SubscriptionDisable):
    """End a subscription for good."""

    service = staticmethod(subscription_end)
