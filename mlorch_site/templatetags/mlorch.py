"""Template tags of the site: display only."""

from django import template

register = template.Library()
