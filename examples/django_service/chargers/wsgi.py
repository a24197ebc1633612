"""What the web server serves: chargers at ``/ocpp/THEIR_ID``, and everything else by Django."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chargers.settings")
pages = get_wsgi_application()  # first: it makes the models ready

from .central import server  # noqa: E402

application = server.wsgi_app(pages, path="/ocpp/{id}")
