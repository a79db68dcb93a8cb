"""The ASGI entry: HTTP to Django within the limit of a body, websockets to Channels behind an origin check."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mlorch_site.settings")

from django.core.asgi import get_asgi_application

django_application = get_asgi_application()

from channels.auth import AuthMiddlewareStack  # noqa: E402 - Django must be set up first
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402

from mlorch_site.lib import collector  # noqa: E402
from mlorch_site.lib.body_limit import BodyLimit  # noqa: E402
from mlorch_site.live.origin import SameOrigin  # noqa: E402
from mlorch_site.routing import websocket_routes  # noqa: E402

application = ProtocolTypeRouter(
    {
        "http": BodyLimit(django_application),
        "websocket": SameOrigin(AuthMiddlewareStack(URLRouter(websocket_routes))),
    }
)
collector.settle()
