"""Filters of the audit log: exact ones for REST, and on top of them those by which people search."""

from django.forms import HiddenInput
from django_filters import CharFilter, DateFilter

from mlorch_site.lib.lists import TEXT_MAX_CHARS, Filters, day_box, search_box, text_box


class AuditFilter(Filters):
    """Records of exactly this actor, act or subject."""

    actor = CharFilter()
    action = CharFilter()
    subject_kind = CharFilter(widget=HiddenInput)
    subject_id = CharFilter(widget=HiddenInput)


class AuditSearch(AuditFilter):
    """Records in which actor and subject hold a text, the act begins with one, between two days."""

    actor = CharFilter(lookup_expr="icontains", max_length=TEXT_MAX_CHARS, widget=search_box("Who"))
    action = CharFilter(lookup_expr="startswith", max_length=TEXT_MAX_CHARS, widget=text_box("Act, e.g. release."))
    subject = CharFilter("subject_label", "icontains", max_length=TEXT_MAX_CHARS, widget=text_box("About"))
    since = DateFilter("at", "date__gte", widget=day_box("From"))
    until = DateFilter("at", "date__lte", widget=day_box("Until"))
