"""REST resources of approval requests: the inbox, one request, what is said about it, several decisions at once."""

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from deployments import services
from deployments.api.serializers import StrictSerializer
from deployments.decision_page import release_of
from deployments.services.bulk_decisions import releases_decide
from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.selectors import actor_of
from mlorch_site.api.idempotency import idempotent
from mlorch_site.lib.api import read_body
from mlorch_site.lib.errors import Invalid
from registry.approvals.comments import comment_add, comment_edit, comment_of
from registry.approvals.content_changes import content_changes
from registry.approvals.inbox import TABS, inbox
from registry.approvals.selectors import approval_for, approval_progress, approvals_visible_to, counting_decisions
from registry.filters import ApprovalFilter
from registry.lifecycle import DecisionKind
from registry.models import ApprovalRequest, Comment

DECISIONS = ("decisions__person", "decisions__on_behalf_of", "decisions__delegation")


class ApprovalSerializer(serializers.ModelSerializer[ApprovalRequest]):
    """A request. `decisions` of which `counts` is false were replaced or taken back; `changes` say what voided it."""

    status = serializers.CharField()
    requester = serializers.CharField(source="requester.username")
    environment = serializers.CharField(source="policy.environment.name")
    policy = serializers.IntegerField(source="policy.revision")
    release = serializers.CharField(source="subject_id")
    missing = serializers.SerializerMethodField()
    rules = serializers.SerializerMethodField()
    authors = serializers.ListField(
        child=serializers.CharField(), source="authors.claims", default=list, help_text="By MLflow's word; a claim."
    )
    decisions = serializers.SerializerMethodField()

    class Meta:
        model = ApprovalRequest
        fields = ["id", "title", "status", "status_reason", "release", "environment", "policy", "risk_tier"]
        fields += ["requester", "content_hash", "changes", "answers", "authors", "missing", "rules", "decisions"]
        fields += ["created_at", "expires_at", "ended_at"]

    def get_missing(self, request: ApprovalRequest) -> str:
        return approval_progress(request).missing

    def get_rules(self, request: ApprovalRequest) -> list[dict[str, Any]]:
        rules = approval_progress(request).rules
        return [{"role": rule.role, "count": rule.needed, "given_by": rule.given_by} for rule in rules]

    def get_decisions(self, request: ApprovalRequest) -> list[dict[str, Any]]:
        counting = {row.pk for row in counting_decisions(request) if row.kind != DecisionKind.TAKE_BACK}
        return [
            {
                "person": row.person.username,
                "on_behalf_of": row.on_behalf_of.username if row.on_behalf_of else None,
                "decision": row.kind,
                "comment": row.comment,
                "counts": row.pk in counting,
                "at": row.at,
            }
            for row in request.decisions.all()
        ]


class ApprovalDetailSerializer(ApprovalSerializer):
    """A request with what it covers, and with what changed since the request that it answers."""

    changed_since_answered = serializers.SerializerMethodField()

    class Meta(ApprovalSerializer.Meta):
        fields = [*ApprovalSerializer.Meta.fields, "content", "changed_since_answered"]

    def get_changed_since_answered(self, request: ApprovalRequest) -> list[str] | None:
        answers = request.answers
        return content_changes(answers.content, request.content) if answers and answers.content else None


class CommentSerializer(serializers.ModelSerializer[Comment]):
    """A comment, Markdown. `parent` is the comment that it replies to."""

    author = serializers.CharField(source="author.username")
    mentions = serializers.SerializerMethodField()

    class Meta:
        model = Comment
        fields = ["id", "author", "parent", "text", "at", "edited_at", "mentions"]

    def get_mentions(self, comment: Comment) -> list[str]:
        return sorted(mention.person.username for mention in comment.mentions.all())


class CommentTextSerializer(StrictSerializer):
    """The body of `PATCH /approvals/{id}/comments/{number}`."""

    text = serializers.CharField(max_length=10_000)


class CommentRequestSerializer(CommentTextSerializer):
    """The body of `POST /approvals/{id}/comments`."""

    reply_to = serializers.IntegerField(required=False, allow_null=True, default=None, min_value=1, max_value=2**63 - 1)


class WithdrawalSerializer(StrictSerializer):
    """The body of `POST /approvals/{id}/withdraw`."""

    reason = serializers.CharField(max_length=500)


class BulkDecisionSerializer(StrictSerializer):
    """The body of `POST /approvals/decisions`: approve or reject."""

    approvals = serializers.ListField(child=serializers.UUIDField(), min_length=1, max_length=25)
    decision = serializers.CharField(max_length=20)
    comment = serializers.CharField(max_length=4000, allow_blank=True, default="")


class BulkResultSerializer(serializers.Serializer[Any]):
    """What became of one of several requests."""

    approval = serializers.UUIDField(source="request.pk")
    decided = serializers.BooleanField(source="is_decided")
    sentence = serializers.CharField()


class ApprovalList(generics.ListAPIView[ApprovalRequest]):
    """Approval requests, all that the caller may see, or those of one tab of the inbox."""

    permission = Action.VIEW
    serializer_class = ApprovalSerializer
    filterset_class = ApprovalFilter
    queryset = ApprovalRequest.objects.none()

    def get_queryset(self) -> QuerySet[ApprovalRequest]:
        actor, tab = actor_of(self.request._request), self.request.query_params.get("tab", "")
        if tab and tab not in TABS:
            raise Invalid(f"A tab is one of: {', '.join(TABS)}.", details={"tab": "unknown"})
        rows = inbox(actor, tab) if tab else approvals_visible_to(actor)
        return rows.prefetch_related(*DECISIONS)


class ApprovalDetail(generics.RetrieveAPIView[ApprovalRequest]):
    """One request with what it covers."""

    permission = Action.VIEW
    serializer_class = ApprovalDetailSerializer

    def get_object(self) -> ApprovalRequest:
        return approval_for(actor_of(self.request._request), self.kwargs["pk"])


class ApprovalWithdraw(APIView):
    """Withdraw one's own request."""

    permission = Action.RELEASE_REQUEST

    @extend_schema(request=WithdrawalSerializer, responses={200: ApprovalSerializer})
    @idempotent
    def post(self, request: Request, pk: str) -> Response:
        body = read_body(WithdrawalSerializer, request)
        actor = actor_of(request._request)
        release = release_of(approval_for(actor, pk))
        services.release_withdraw(actor=actor, release=release, **body)
        return Response(ApprovalSerializer(approval_for(actor, pk)).data)


class ApprovalDecisions(APIView):
    """Approve or reject several requests, where every one's policy allows it."""

    permission = Action.RELEASE_DECIDE

    @extend_schema(request=BulkDecisionSerializer, responses={200: BulkResultSerializer(many=True)})
    @idempotent
    def post(self, request: Request) -> Response:
        """Each is decided by itself; the answer says what became of each."""
        given = read_body(BulkDecisionSerializer, request)
        results = releases_decide(
            actor=actor_of(request._request),
            ids=[str(one) for one in given["approvals"]],
            decision=given["decision"],
            comment=given["comment"],
        )
        return Response(BulkResultSerializer(results, many=True).data)


class ApprovalComments(generics.ListAPIView[Comment]):
    """What is said about a request, oldest first."""

    permission = Action.VIEW
    serializer_class = CommentSerializer
    queryset = Comment.objects.none()

    def get_queryset(self) -> QuerySet[Comment]:
        row = approval_for(actor_of(self.request._request), self.kwargs["pk"])
        return row.comments.select_related("author").prefetch_related("mentions__person")

    @extend_schema(
        request=CommentRequestSerializer,
        responses={201: CommentSerializer},
    )
    @idempotent
    def post(self, request: Request, pk: str) -> Response:
        """Say something; whoever is named as `@name` and may see the request is told."""
        given = read_body(CommentRequestSerializer, request)
        actor = actor_of(request._request)
        row = approval_for(actor, pk)
        written = comment_add(actor=actor, request=row, text=given["text"], parent=given["reply_to"])
        told = {**CommentSerializer(written.comment).data, "unknown_names": written.unknown}
        return Response(told, status=status.HTTP_201_CREATED)


class ApprovalComment(APIView):
    """One's own comment, for a quarter of an hour."""

    permission = Action.VIEW

    @extend_schema(request=CommentTextSerializer, responses={200: CommentSerializer})
    def patch(self, request: Request, pk: str, number: int) -> Response:
        """Say it otherwise; what it said before is kept."""
        body = read_body(CommentTextSerializer, request)
        actor = actor_of(request._request)
        comment = comment_of(approval_for(actor, pk), number)
        written = comment_edit(actor=actor, comment=comment, **body)
        return Response(CommentSerializer(written.comment).data)
