"""What gates look at besides versions, over REST: to read; administrators write it in the admin."""

from django.db.models import QuerySet
from rest_framework import generics, serializers

from mlorch_site.accounts.roles import Action
from registry.models import AdvisorySet, ExternalCheck, SigningKey

ENDED = ["added_at", "ended_at", "ended_by", "ended_reason"]


class AdvisorySetSerializer(serializers.ModelSerializer[AdvisorySet]):
    class Meta:
        model = AdvisorySet
        fields = ["name", "digest", "count", "as_of", "loaded_at"]


class SigningKeySerializer(serializers.ModelSerializer[SigningKey]):
    added_by = serializers.CharField(source="added_by.username")

    class Meta:
        model = SigningKey
        fields = ["name", "pem", "fingerprint", "reason", "added_by", *ENDED]


class ExternalCheckSerializer(serializers.ModelSerializer[ExternalCheck]):
    added_by = serializers.CharField(source="added_by.username")

    class Meta:
        model = ExternalCheck
        fields = ["id", "name", "url", "reason", "added_by", *ENDED]


class AdvisorySetList(generics.ListAPIView[AdvisorySet]):
    """The advisory file in force, none when none was loaded: where it is from, how much it holds, how old it is."""

    permission = Action.VIEW
    serializer_class = AdvisorySetSerializer
    queryset = AdvisorySet.objects.filter(is_current=True)


class SigningKeyList(generics.ListAPIView[SigningKey]):
    """Public keys whose signatures of models count, and those that were ended."""

    permission = Action.VIEW
    serializer_class = SigningKeySerializer
    queryset = SigningKey.objects.select_related("added_by")


class ExternalCheckList(generics.ListAPIView[ExternalCheck]):
    """Whom the gate external_check may ask. Addresses may hold a secret of the other side, so who writes policies sees
    them.
    """

    permission = Action.POLICY_EDIT
    serializer_class = ExternalCheckSerializer
    queryset = ExternalCheck.objects.none()

    def get_queryset(self) -> QuerySet[ExternalCheck]:
        return ExternalCheck.objects.select_related("added_by")
