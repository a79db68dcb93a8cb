"""REST: model cards."""

from typing import Any

from django.http import HttpResponse
from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.selectors import actor_of
from mlorch_site.api.idempotency import idempotent
from mlorch_site.lib.api import read_body
from mlorch_site.lib.errors import Invalid, NotFound
from mlorch_site.lib.readable import whole_number
from registry.cards.card_content import missing_fields
from registry.cards.card_document import read_document
from registry.cards.card_prefill import prefilled
from registry.cards.selectors import card_in_force, card_revision, document_of
from registry.models import CardRevision, Version
from registry.selectors import version_for
from registry.services import card_save
from registry.services.cards import CARD_NOTE_MAX_CHARS

REVISION = OpenApiParameter("revision", OpenApiTypes.INT, description="An earlier revision; else the one in force.")


class CardSerializer(serializers.Serializer[Any]):
    """A card. `revision` is 0 while nobody has saved one: then `content` is what MLflow says, as a proposal."""

    model = serializers.CharField()
    version = serializers.IntegerField()
    revision = serializers.IntegerField()
    digest = serializers.CharField()
    files_digest = serializers.CharField()
    content = serializers.DictField()
    missing = serializers.ListField(child=serializers.CharField())
    note = serializers.CharField()
    author = serializers.CharField()
    at = serializers.DateTimeField(allow_null=True)
    export = serializers.CharField()


class CardWriteSerializer(serializers.Serializer[Any]):
    """The body of `PUT …/card`: `content` by fields, or a `document` as Hugging Face has it."""

    based_on = serializers.IntegerField(min_value=0)
    content = serializers.DictField(required=False)
    document = serializers.CharField(required=False, trim_whitespace=False)
    note = serializers.CharField(max_length=CARD_NOTE_MAX_CHARS, required=False, default="", allow_blank=True)


class CardRevisionSerializer(serializers.Serializer[Any]):
    revision = serializers.IntegerField(source="number")
    digest = serializers.CharField()
    note = serializers.CharField()
    author = serializers.CharField(source="author.username")
    at = serializers.DateTimeField()


def card_told(version: Version, card: CardRevision | None) -> dict[str, Any]:
    """A card as `CardSerializer` describes it."""
    content = card.content if card else prefilled(version)
    return {
        "model": version.model.name,
        "version": version.number,
        "revision": card.number if card else 0,
        "digest": card.digest if card else "",
        "files_digest": card.files_digest if card else "",
        "content": content,
        "missing": [field.name for field in missing_fields(content)],
        "note": card.note if card else "",
        "author": card.author.username if card else "",
        "at": card.at if card else None,
        "export": reverse("api-card-export", args=[version.model.name, version.number]) if card else "",
    }


def _asked(request: Request, version: Version) -> CardRevision | None:
    asked = request.query_params.get("revision")
    if asked is None:
        return card_in_force(version)
    number = whole_number(asked)
    if number is None:
        raise NotFound(f"The card of {version} has no revision {asked[:20]}.")
    return card_revision(version, number)


class Card(APIView):
    """The model card of a version."""

    permission = {"GET": Action.VIEW, "PUT": Action.MODEL_EDIT}

    @extend_schema(parameters=[REVISION], responses={200: CardSerializer})
    def get(self, request: Request, name: str, number: int) -> Response:
        """The revision in force, or the one that is asked for."""
        version = version_for(actor_of(request._request), name, number, gone=True)
        return Response(card_told(version, _asked(request, version)))

    @extend_schema(request=CardWriteSerializer, responses={200: CardSerializer})
    @idempotent
    def put(self, request: Request, name: str, number: int) -> Response:
        """Save the next revision; `based_on` is the one that was changed. 409 when somebody else saved meanwhile."""
        actor = actor_of(request._request)
        given = read_body(CardWriteSerializer, request)
        version = version_for(actor, name, number, action=Action.MODEL_EDIT, gone=True)
        if ("content" in given) == ("document" in given):
            text = "Give either the content or a document."
            raise Invalid(text, details={"content": text})
        content = given["content"] if "content" in given else read_document(given["document"]).content
        card = card_save(actor=actor, version=version, content=content, based_on=given["based_on"], note=given["note"])
        return Response(card_told(version, card))


class CardRevisions(generics.ListAPIView[CardRevision]):
    """The revisions of a card, newest first."""

    permission = Action.VIEW
    serializer_class = CardRevisionSerializer
    queryset = CardRevision.objects.none()

    def get_queryset(self) -> Any:
        version = version_for(actor_of(self.request._request), self.kwargs["name"], self.kwargs["number"], gone=True)
        return version.card_revisions.select_related("author").defer("content")


class CardExport(APIView):
    """The model card as a document that Hugging Face reads."""

    permission = Action.VIEW

    @extend_schema(parameters=[REVISION], responses={(200, "text/markdown"): OpenApiTypes.STR})
    def get(self, request: Request, name: str, number: int) -> HttpResponse:
        """Markdown with YAML front matter."""
        version = version_for(actor_of(request._request), name, number, gone=True)
        card = _asked(request, version)
        if card is None:
            raise NotFound(f"{version} has no card yet.")
        return HttpResponse(document_of(card), content_type="text/markdown; charset=utf-8")
