"""The leads with Django REST framework: a view set, token authentication, cursor pagination."""

import os
from urllib.parse import urlsplit

import django
from django.conf import settings

URL = urlsplit(os.environ["BENCH_DATABASE"])
ENGINES = {"sqlite": "sqlite3", "postgresql": "postgresql"}

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    CSRF_TRUSTED_ORIGINS=[],
    DATABASES={
        "default": {
            "ENGINE": f"django.db.backends.{ENGINES[URL.scheme]}",
            "HOST": URL.hostname,
            "PORT": URL.port,
            "USER": URL.username,
            "NAME": URL.path[1:],
            "CONN_MAX_AGE": None,
        }
    },
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=[
        "django.contrib.contenttypes",
        "django.contrib.auth",
        "rest_framework",
        "rest_framework.authtoken",
    ],
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.middleware.common.CommonMiddleware",
    ],
    ROOT_URLCONF=__name__,
    SECRET_KEY="for a benchmark on this machine only",  # noqa: S106  # it protects nothing
    TIME_ZONE="UTC",
    USE_TZ=True,
)
django.setup()

from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.validators import MinValueValidator
from django.core.wsgi import get_wsgi_application
from django.db import connection, models
from rest_framework import mixins, pagination, routers, serializers, viewsets
from rest_framework.authentication import TokenAuthentication
from rest_framework.authtoken.models import Token
from rest_framework.permissions import IsAuthenticated


class Lead(models.Model):
    """A lead."""

    STATUSES = ("new", "contacted", "qualified", "converted", "lost")

    user = models.ForeignKey(User, on_delete=models.CASCADE, db_index=False)
    company_id = models.BigIntegerField(validators=[MinValueValidator(1)])
    status = models.CharField(max_length=9, choices=[(s, s) for s in STATUSES], default="new")
    notes = models.TextField(max_length=10_000, default="", blank=True)
    score = models.IntegerField(default=10)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        app_label = "leads"
        indexes = (models.Index(fields=["user", "-created_at", "-id"], name="newest"),)


class LeadSerializer(serializers.ModelSerializer):
    """A lead in requests and responses."""

    class Meta:
        model = Lead
        fields = (
            *("id", "user_id", "company_id", "status", "notes", "score"),
            *("created_at", "updated_at"),
        )
        read_only_fields = ("status", "score")


class LeadUpdateSerializer(LeadSerializer):
    """A lead in updates."""

    class Meta(LeadSerializer.Meta):
        read_only_fields = ("company_id", "score")


class BearerAuthentication(TokenAuthentication):
    """The framework's token authentication, with the standard scheme."""

    keyword = "Bearer"


class NewestFirst(pagination.CursorPagination):
    """Cursor pagination, which does not count all leads."""

    page_size = 50
    ordering = ("-created_at", "-id")


class LeadViewSet(
    mixins.CreateModelMixin,
    mixins.ListModelMixin,
    mixins.UpdateModelMixin,
    viewsets.GenericViewSet,
):
    """List, create and update the caller's leads."""

    http_method_names = ("get", "post", "patch")
    authentication_classes = (BearerAuthentication,)
    permission_classes = (IsAuthenticated,)
    pagination_class = NewestFirst

    def get_queryset(self) -> "models.QuerySet[Lead]":
        """Return the caller's leads."""
        return Lead.objects.filter(user=self.request.user)

    def get_serializer_class(self) -> type[LeadSerializer]:
        """Return the serializer of the action."""
        return LeadUpdateSerializer if self.action == "partial_update" else LeadSerializer

    def perform_create(self, serializer: LeadSerializer) -> None:
        """Store a lead of the caller's."""
        serializer.save(user=self.request.user)


router = routers.SimpleRouter()
router.register("leads", LeadViewSet, basename="lead")
urlpatterns = router.urls
application = get_wsgi_application()

if __name__ == "__main__":
    call_command("migrate", verbosity=0)
    with connection.schema_editor() as editor:
        editor.create_model(Lead)
    for name in ("bench", "other"):
        Token.objects.create(user=User.objects.create(username=name), key=f"token-of-{name}")
