"""A copy of the test database whose transactions are really committed, for what several connections do at once.

The record is append-only, so nothing that was committed could be cleaned up: the copy is thrown away. PostgreSQL only.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from django.db import connection
from django.test.utils import setup_databases


@contextmanager
def scratch_database() -> Iterator[None]:
    """Let every connection of this process that is opened meanwhile be one to a copy of the database."""
    if not str(connection.settings_dict["NAME"]).startswith("test_"):
        # pytest-django sets a database up only when a test asks for it in its own way.
        setup_databases(verbosity=0, interactive=False, aliases={"default"})
    original = connection.settings_dict["NAME"]
    copy = f"{original}_scratch"
    connection.close()
    with connection._nodb_cursor() as cursor:
        cursor.execute(f'CREATE DATABASE "{copy}" TEMPLATE "{original}"')
    connection.settings_dict["NAME"] = copy
    try:
        # What follows a commit would look for a broker, and there is none.
        with mock.patch("celery.app.base.Celery.send_task"):
            yield
    finally:
        connection.close()
        connection.settings_dict["NAME"] = original
        with connection._nodb_cursor() as cursor:
            cursor.execute(f'DROP DATABASE "{copy}" WITH (FORCE)')
