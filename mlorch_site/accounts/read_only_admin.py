"""Pages of the admin that are looked at: who may, and that nothing is written there."""

from typing import Any

from django.http import HttpRequest

from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.selectors import actor_of


class ReadOnlyAdmin:
    """Permissions of a page of the admin: to look, for whoever may do `action`; what may be written there says a
    subclass.
    """

    action: Action

    def has_module_permission(self, request: HttpRequest) -> bool:
        return actor_of(request).may(self.action)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return actor_of(request).may(self.action)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
