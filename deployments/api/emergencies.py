"""REST of emergencies: beginning a release without its approvals, and the reviews that follow."""

from django.conf import settings
from django.db.models import QuerySet
from django.urls import reverse
from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from deployments import selectors
from deployments.api.serializers import ReleaseDetailSerializer, StrictSerializer
from deployments.services.emergency import release_emergency
from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.selectors import actor_of
from mlorch_site.api.idempotency import idempotent
from mlorch_site.lib.api import read_body
from registry.approvals.emergencies import REASON_MAX_CHARS, TICKET_MAX_CHARS
from registry.approvals.reviews import FINDING_MAX_CHARS, review_close, review_for, reviews_visible_to
from registry.models import Emergency


class EmergencyRequestSerializer(StrictSerializer):
    """The body of `POST /releases/{id}/emergency`. `expects` is the release's `plan_hash`, as it was looked at."""

    expects = serializers.CharField(max_length=80)
    reason = serializers.CharField(max_length=REASON_MAX_CHARS)
    ticket = serializers.CharField(max_length=TICKET_MAX_CHARS)


class FindingSerializer(StrictSerializer):
    """The body of `POST /reviews/{id}/close`."""

    finding = serializers.CharField(max_length=FINDING_MAX_CHARS)


class ReviewSerializer(serializers.ModelSerializer[Emergency]):
    """An emergency with its review; `closed_at` is null while the review is open."""

    subject = serializers.CharField(source="request.title")
    subject_kind = serializers.CharField(source="request.subject_kind")
    subject_id = serializers.CharField(source="request.subject_id")
    used_by = serializers.CharField(source="used_by.username")
    closed_by = serializers.CharField(source="closed_by.username", default=None)
    url = serializers.SerializerMethodField()

    class Meta:
        model = Emergency
        fields = [
            "id",
            "subject",
            "subject_kind",
            "subject_id",
            "used_by",
            "used_at",
            "reason",
            "ticket",
            "skipped",
            "evidence",
            "closed_by",
            "closed_at",
            "finding",
            "url",
        ]

    def get_url(self, used: Emergency) -> str:
        return f"{settings.WEB_URL}{reverse('review', args=[used.pk])}"


class ReleaseEmergency(APIView):
    """Begin a release that waits for approval without what it still lacks, in an emergency."""

    permission = Action.RELEASE_EMERGENCY

    @extend_schema(request=EmergencyRequestSerializer, responses={200: ReleaseDetailSerializer})
    @idempotent
    def post(self, request: Request, pk: str) -> Response:
        body = read_body(EmergencyRequestSerializer, request)
        actor = actor_of(request._request)
        release = selectors.release_for(actor, pk, action=Action.RELEASE_EMERGENCY)
        release = release_emergency(actor=actor, release=release, **body)
        return Response(ReleaseDetailSerializer(release).data)


class ReviewList(generics.ListAPIView[Emergency]):
    """Emergencies with their reviews, open ones first."""

    permission = Action.VIEW
    serializer_class = ReviewSerializer
    queryset = Emergency.objects.none()

    def get_queryset(self) -> QuerySet[Emergency]:
        return reviews_visible_to(actor_of(self.request._request))


class ReviewDetail(APIView):
    """One emergency with its review."""

    permission = Action.VIEW

    @extend_schema(responses={200: ReviewSerializer})
    def get(self, request: Request, pk: str) -> Response:
        return Response(ReviewSerializer(review_for(actor_of(request._request), pk)).data)


class ReviewClose(APIView):
    """Close a review with what was found."""

    permission = Action.RELEASE_DECIDE

    @extend_schema(request=FindingSerializer, responses={200: ReviewSerializer})
    @idempotent
    def post(self, request: Request, pk: str) -> Response:
        body = read_body(FindingSerializer, request)
        actor = actor_of(request._request)
        used = review_close(actor=actor, used=review_for(actor, pk), finding=body["finding"])
        return Response(ReviewSerializer(used).data)
