"""All settings of the site. Only this file reads the environment; docs/configuration.md explains each name."""

import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import environ

from dataplane.wire import log_lines

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()

MLORCH_ENV = env.str("MLORCH_ENV", "development")
IN_PRODUCTION = MLORCH_ENV == "production"
IN_TESTS = "pytest" in sys.modules

DATA_DIR = Path(env.str("MLORCH_DATA_DIR", str(BASE_DIR / "var"))).resolve()
DEBUG = False
SECRET_KEY = env.str("DJANGO_SECRET_KEY", "" if IN_PRODUCTION else "development-only-" + "x" * 40)
if IN_PRODUCTION and (len(SECRET_KEY) < 50 or len(set(SECRET_KEY)) < 5):
    raise environ.ImproperlyConfigured(
        "DJANGO_SECRET_KEY must be random and at least 50 characters long in production."
    )

WEB_URL = env.str("MLORCH_WEB_URL", "http://127.0.0.1:8000")
GATEWAY_URL = env.str("MLORCH_GATEWAY_URL", "http://127.0.0.1:8080")
MLFLOW_TRACKING_URI = env.str("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
ALLOWED_HOSTS = env.list("MLORCH_ALLOWED_HOSTS", default=["127.0.0.1", "localhost", "[::1]", "testserver"])
CSRF_TRUSTED_ORIGINS = env.list("MLORCH_TRUSTED_ORIGINS", default=[])

INSTALLED_APPS = [
    "channels",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_filters",
    "django_htmx",
    "csp",
    "allauth",
    "allauth.account",
    "allauth.socialaccount",
    "allauth.mfa",
    "mlorch_site.accounts",
    "mlorch_site.audit",
    "mlorch_site.live",
    "mlorch_site.notices",
    "mlorch_site.launch",
    "registry",
    "monitoring",
    "deployments",
]

MIDDLEWARE = [
    "mlorch_site.lib.middleware.RequestIdMiddleware",
    "mlorch_site.lib.middleware.PeerMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "mlorch_site.accounts.middleware.PersonMiddleware",
    "mlorch_site.audit.middleware.RecordMiddleware",
    "mlorch_site.live.middleware.LivePositionMiddleware",
    "mlorch_site.lib.middleware.DomainErrorMiddleware",
    "mlorch_site.lib.middleware.ReadableMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "mlorch_site.accounts.middleware.ProofMiddleware",
]

ROOT_URLCONF = "mlorch_site.urls"
ASGI_APPLICATION = "mlorch_site.asgi.application"
AUTH_USER_MODEL = "accounts.User"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "csp.context_processors.nonce",
                "mlorch_site.context.site",
            ],
            "builtins": ["mlorch_site.templatetags.mlorch"],
        },
    },
]

SQLITE_BUSY_TIMEOUT_S = 20


def _database() -> dict[str, Any]:
    """The database from DATABASE_URL, or SQLite in the data directory."""
    url = env.str("DATABASE_URL", "")
    config = (
        env.db_url_config(url)
        if url
        else {"ENGINE": "django.db.backends.sqlite3", "NAME": str(DATA_DIR / "mlorch.sqlite3")}
    )
    if config["ENGINE"].endswith("sqlite3"):
        # Correctness under several writers comes from IMMEDIATE: a deferred transaction that turns into a writer can
        # fail at once with SQLITE_BUSY_SNAPSHOT whatever the busy timeout is.
        config["OPTIONS"] = {
            "transaction_mode": "IMMEDIATE",
            "timeout": SQLITE_BUSY_TIMEOUT_S,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON;",
        }
    else:
        config["CONN_MAX_AGE"] = 0
    return config


DATABASES = {"default": _database()}


def _mail_server(url: str) -> dict[str, Any]:
    """Django's settings of the mail server: smtp://, smtp+tls:// (STARTTLS) or smtp+ssl://, with user:password@."""
    if urlsplit(url).scheme not in ("smtp", "smtp+tls", "smtp+ssl") or not urlsplit(url).hostname:
        raise environ.ImproperlyConfigured("MLORCH_SMTP_URL is smtp://, smtp+tls:// or smtp+ssl:// with a host.")
    return {name: value for name, value in env.email_url_config(url).items() if name.startswith("EMAIL_")}


REDIS_URL = env.str("REDIS_URL", "")
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "mlorch_site.live.channel_layer.QuietLayer",
        # A read timeout would end an idle subscription silently (django/channels_redis#422).
        "CONFIG": {"hosts": [{"address": REDIS_URL, "socket_timeout": None}], "prefix": "mlorch"},
    }
    if REDIS_URL
    else {"BACKEND": "channels.layers.InMemoryChannelLayer"}
}

CELERY_BROKER_URL = env.str("BROKER_URL", "") or (
    REDIS_URL.replace("unix://", "redis+socket://", 1) if REDIS_URL else "memory://"
)
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = False  # rows and sweeps resume work; a poisoned message must not loop
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_REDIRECT_STDOUTS = False  # what structlog writes is a whole line already, not a message of another logger
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": 600, "socket_timeout": 10, "socket_connect_timeout": 3}
CELERY_TASK_DEFAULT_QUEUE = "control"
CELERY_TASK_TIME_LIMIT = 3600
CELERY_TASK_PUBLISH_RETRY = False
CELERY_TIMEZONE = "UTC"

# Checkpoints of the audit record, signed and kept outside the database.
# Those of an installation in the same data directory say nothing of the records of a test.
AUDIT_CHECKPOINT_DIR = env.str(
    "MLORCH_AUDIT_CHECKPOINT_DIR", str(DATA_DIR / ("audit-of-tests" if IN_TESTS else "audit"))
)
BACKUP_PASSPHRASE = env.str("MLORCH_BACKUP_PASSPHRASE", "")
AUDIT_CHECKPOINT_S = env.int("MLORCH_AUDIT_CHECKPOINT_S", 60)
AUDIT_KEY_FILE = env.str("MLORCH_AUDIT_KEY_FILE", "")
AUDIT_FORMER_KEYS = env.list("MLORCH_AUDIT_FORMER_KEYS", default=[])
AUDIT_COPY_DIR = env.str("MLORCH_AUDIT_COPY_DIR", "")
AUDIT_COPY_GIT = env.str("MLORCH_AUDIT_COPY_GIT", "")
AUDIT_COPY_GIT_PUSH = env.str("MLORCH_AUDIT_COPY_GIT_PUSH", "")
AUDIT_COPY_S3 = env.str("MLORCH_AUDIT_COPY_S3", "")
AUDIT_COPY_S3_ENDPOINT = env.str("MLORCH_AUDIT_COPY_S3_ENDPOINT", "")
AUDIT_COPY_S3_RETAIN_DAYS = env.int("MLORCH_AUDIT_COPY_S3_RETAIN_DAYS", 0)
AUDIT_COPY_SYSLOG = env.str("MLORCH_AUDIT_COPY_SYSLOG", "")
AUDIT_COPY_WEBHOOK = env.str("MLORCH_AUDIT_COPY_WEBHOOK", "")
OUTGOING_PRIVATE_NETWORKS = env.list("MLORCH_OUTGOING_PRIVATE_NETWORKS", default=[])

# E-mail: without a server nothing is planned, and the system page says so.
SMTP_URL = env.str("MLORCH_SMTP_URL", "")
MAIL_IS_CONFIGURED = bool(SMTP_URL)
if SMTP_URL:
    globals().update(_mail_server(SMTP_URL))
DEFAULT_FROM_EMAIL = env.str("MLORCH_MAIL_FROM", "") or f"mlorch@{urlsplit(WEB_URL).hostname or 'localhost'}"
MAIL_TIMEOUT_S = 10

CONTROL_TOKEN = env.str("MLORCH_CONTROL_TOKEN", "")
METRICS_TOKEN = env.str("MLORCH_METRICS_TOKEN", "")
MLFLOW_WEBHOOK_SECRET = env.str("MLORCH_MLFLOW_WEBHOOK_SECRET", "")
SOURCE_SCHEMES = env.list(
    "MLORCH_SOURCE_SCHEMES", default=["mlflow-artifacts", "models", "runs", "http", "https", "file"]
)
SOURCE_FILE_ROOTS = env.list("MLORCH_SOURCE_FILE_ROOTS", default=[str(DATA_DIR / "mlflow" / "artifacts")])
# What nothing needs any more leaves the artifact store after that time, and sooner when it holds more than it may.
ARTIFACTS_KEPT_DAYS = env.int("MLORCH_ARTIFACTS_KEPT_DAYS", 30)
ARTIFACTS_MAX_GIB = env.int("MLORCH_ARTIFACTS_MAX_GIB", 100)  # 0: any
ROLLBACKS_KEPT = env.int("MLORCH_ROLLBACKS_KEPT", 5)
if min(ARTIFACTS_KEPT_DAYS, ROLLBACKS_KEPT) < 1 or ARTIFACTS_MAX_GIB < 0:
    raise environ.ImproperlyConfigured(
        "MLORCH_ARTIFACTS_KEPT_DAYS and MLORCH_ROLLBACKS_KEPT are at least 1, MLORCH_ARTIFACTS_MAX_GIB at least 0."
    )
MLFLOW_TIMEOUT_S = env.int("MLORCH_MLFLOW_TIMEOUT_S", 10)
REGISTRY_BACKEND = env.str(
    "MLORCH_REGISTRY_BACKEND",
    "registry.backends.fake.FakeBackend" if IN_TESTS else "registry.backends.mlflow.MlflowBackend",
)
# Half a second for each version, of which tests have thousands; those of the reading itself switch it on.
ARTIFACTS_READ_IN_SANDBOX = not IN_TESTS
ADVISORIES = env.str("MLORCH_ADVISORIES", "")

# What a scratch run of a gate is told of our own environment: where programs lie, which sandbox, how to reach an index.
SCRATCH_NAMES = {"PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR"}
SCRATCH_NAMES |= {"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "MLORCH_AGENT_SANDBOX", "MLORCH_SOURCE_BUILDS"}
SCRATCH_VARIABLES = {
    name: value for name, value in env.ENVIRON.items() if name.upper() in SCRATCH_NAMES or name.startswith("UV_")
}
SYNC_INTERVAL_S = env.int("MLORCH_SYNC_INTERVAL_S", 5)

# A tick that waits longer than its period is worthless: the next one does the same work.
CELERY_BEAT_SCHEDULE = {
    "relay-events": {"task": "live.relay_events", "schedule": 1.0, "options": {"expires": 2}},
    "deployments-tick": {"task": "deployments.tick", "schedule": 1.0, "options": {"expires": 2}},
    "deployments-watch": {"task": "deployments.watch", "schedule": 15.0, "options": {"expires": 15}},
    "deployments-read-metrics": {"task": "deployments.read_metrics", "schedule": 10.0, "options": {"expires": 10}},
    "deployments-print": {"task": "deployments.print_reports", "schedule": 30.0, "options": {"expires": 30}},
    "deployments-simulate": {"task": "deployments.resume_simulations", "schedule": 30.0, "options": {"expires": 30}},
    "registry-sync": {"task": "registry.sync", "schedule": SYNC_INTERVAL_S, "options": {"expires": SYNC_INTERVAL_S}},
    "registry-tick": {"task": "registry.tick", "schedule": 2.0, "options": {"expires": 3}},
    "monitoring-rollup": {"task": "monitoring.rollup", "schedule": 30.0, "options": {"expires": 30}},
    "audit-checkpoint": {"task": "audit.checkpoint", "schedule": 5.0, "options": {"expires": 5}},
    "audit-verify": {"task": "audit.verify", "schedule": 5.0, "options": {"expires": 5}},
    "audit-tell-refusals": {"task": "audit.tell_refusals", "schedule": 30.0, "options": {"expires": 30}},
    "deployments-retention": {"task": "deployments.retention", "schedule": 3600.0, "options": {"expires": 600}},
    "audit-copies": {"task": "audit.copies", "schedule": 5.0, "options": {"expires": 5}},
    "notices-tick": {"task": "notices.tick", "schedule": 2.0, "options": {"expires": 3}},
    "notices-retention": {"task": "notices.retention", "schedule": 3600.0, "options": {"expires": 600}},
    "monitoring-retention": {"task": "monitoring.retention", "schedule": 3600.0, "options": {"expires": 600}},
}
# Asked before a task is sent, each a cheap read; a task without one is always sent.
CELERY_BEAT_SCHEDULER = "mlorch_site.beat:AskingScheduler"
CELERY_BEAT_QUESTIONS = {
    "live.relay_events": "mlorch_site.live.outbox.is_waiting",
    "deployments.tick": "deployments.tasks.tick_is_due",
    "deployments.watch": "monitoring.tasks.watch_is_due",
    "deployments.read_metrics": "deployments.services.measured.metrics_are_due",
    "deployments.print_reports": "deployments.tasks.prints_are_due",
    "deployments.resume_simulations": "deployments.tasks.simulations_are_due",
    "registry.tick": "registry.tasks.tick_is_due",
    "monitoring.rollup": "monitoring.services.has_windows_to_roll_up",
    "audit.checkpoint": "mlorch_site.audit.checkpointing.is_due",
    "audit.verify": "mlorch_site.audit.verification_runs.is_waiting",
    "audit.tell_refusals": "mlorch_site.audit.refusal_counts.is_waiting",
    "notices.tick": "mlorch_site.notices.tasks.tick_is_due",
    "audit.copies": "mlorch_site.audit.copy_delivery.is_copy_due",
}
CELERY_BEAT_LAST_ACT = "mlorch_site.audit.checkpointing.checkpoint_or_log"  # when the house is closed in order

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
if IN_TESTS:
    PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
LOGIN_URL = "sign-in"
WEB_SIGN_IN_PATH = "/sign-in/"
LOGIN_REDIRECT_URL = "overview"
LOGOUT_REDIRECT_URL = "sign-in"

SESSION_COOKIE_NAME = "mlorch_session"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = 12 * 3600
SESSION_IDLE_TIMEOUT_S = env.int("MLORCH_SESSION_IDLE_S", 4 * 3600)
SESSION_MAX_S = env.int("MLORCH_SESSION_MAX_S", 12 * 3600)  # also of one that is never idle
# Who vouches for people, and what they prove themselves with. None of allauth's own pages is served.
OIDC_FILE = env.str("MLORCH_OIDC_FILE", "")
BREAK_GLASS = env.str("MLORCH_BREAK_GLASS", "")  # the one who signs in with a password when nobody else may
SECOND_FACTOR_FOR = env.list("MLORCH_SECOND_FACTOR_FOR", default=[])
if unknown := set(SECOND_FACTOR_FOR) - {"administrators", "deciders", "everybody"}:
    raise environ.ImproperlyConfigured(
        f"MLORCH_SECOND_FACTOR_FOR names administrators, deciders or everybody, not {', '.join(sorted(unknown))}."
    )
SOCIALACCOUNT_ADAPTER = "mlorch_site.accounts.sign_on.adapter.IssuerAdapter"
SOCIALACCOUNT_REQUESTS_TIMEOUT = 5
MFA_ADAPTER = "mlorch_site.accounts.passkeys.PasskeyAdapter"
# A finger or a PIN, always: a question that asks for less would do for a sign-in by a passkey alone too.
MFA_WEBAUTHN_USER_VERIFICATION = "required"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
SOCKETS_PER_PERSON = env.int("MLORCH_SOCKETS_PER_PERSON", 100)  # open in one process
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = IN_PRODUCTION
CSRF_COOKIE_NAME = "mlorch_csrf"
CSRF_FAILURE_VIEW = "mlorch_site.lib.refusals.csrf_failure"
SECURE_SSL_REDIRECT = IN_PRODUCTION
SECURE_HSTS_SECONDS = 31_536_000 if IN_PRODUCTION else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = IN_PRODUCTION
BEHIND_PROXY = env.bool("MLORCH_BEHIND_PROXY", False)
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if BEHIND_PROXY else None
TRUSTED_PROXIES = env.list("MLORCH_TRUSTED_PROXIES", default=["127.0.0.0/8", "::1/128"] if BEHIND_PROXY else [])
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CONTENT_TYPE_NOSNIFF = True
X_FRAME_OPTIONS = "DENY"
CONNECTIONS_PER_ADDRESS = env.int("MLORCH_CONNECTIONS_PER_ADDRESS", 250)  # open in one process
DATA_UPLOAD_MAX_NUMBER_FIELDS = 1000
DATA_UPLOAD_MAX_NUMBER_FILES = 0  # no form has one
BODY_MAX_BYTES = DATA_UPLOAD_MAX_MEMORY_SIZE = env.int("MLORCH_BODY_MAX_BYTES", 2 * 1024 * 1024)

PLOTLY_EMPTY_STYLE = "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'", PLOTLY_EMPTY_STYLE],
        "img-src": ["'self'", "data:", "blob:"],  # a chart is saved as PNG by way of a blob
        "font-src": ["'self'"],
        "connect-src": ["'self'"],
        "form-action": ["'self'"],
        "base-uri": ["'none'"],
        "frame-ancestors": ["'none'"],
    },
}

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True

STATIC_URL = "/static/"
# WhiteNoise serves the files from where they lie; only an installation may want them collected for a server in front.
STATIC_ROOT = DATA_DIR / "staticfiles" if IN_PRODUCTION else None
NODE_MODULES = BASE_DIR / "node_modules"
STATICFILES_DIRS = [
    BASE_DIR / "static",
    *(
        (prefix, folder)
        for prefix, folder in [
            ("tabler", NODE_MODULES / "@tabler/core/dist"),
            ("plotly", NODE_MODULES / "plotly.js-basic-dist-min"),
        ]
        if folder.is_dir()
    ),
]
WHITENOISE_USE_FINDERS = True
# Each client of a test builds the middleware anew, and would list every file; tests/site/test_static.py does.
WHITENOISE_AUTOREFRESH = IN_TESTS
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "mlorch_site.accounts.authentication.TokenAuthentication",
        "mlorch_site.accounts.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["mlorch_site.accounts.route_permission.RoutePermission"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["mlorch_site.lib.api.JsonParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_PAGINATION_CLASS": "mlorch_site.lib.api.Pages",
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "PAGE_SIZE": 50,
    "EXCEPTION_HANDLER": "mlorch_site.lib.api.handle_exception",
    "UNAUTHENTICATED_USER": None,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "mlorch",
    "DESCRIPTION": "Releases, approvals, rollouts, endpoints and audit of machine-learning models.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": r"/api/v1",
    "ENUM_NAME_OVERRIDES": {"ReleaseStatusEnum": "deployments.lifecycle.RELEASE_STATUS_CHOICES"},
}

LOG_FORMAT = env.str("MLORCH_LOG_FORMAT", log_lines.TEXT)
log_lines.configure(LOG_FORMAT)
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "plain": {"()": "dataplane.wire.log_lines.formatter", "style": LOG_FORMAT},
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "root": {"handlers": ["console"], "level": env.str("MLORCH_LOG_LEVEL", "INFO")},
    "loggers": {"django.request": {"level": "ERROR"}, "botocore": {"level": "WARNING"}},
}
