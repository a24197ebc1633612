"""The settings of an example: a real service has a secret of its own, and no DEBUG."""

import logging
import os

FOLDER = os.environ.get("SERVICE_FOLDER", ".")
SECRET_KEY = os.environ.get("SECRET_KEY", "only for a try")
DEBUG = True
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
INSTALLED_APPS = ["chargers"]
MIDDLEWARE = ["django.middleware.csrf.CsrfViewMiddleware"]
ROOT_URLCONF = "chargers.urls"
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
DATABASES = {
    "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": f"{FOLDER}/service.db", "OPTIONS": {"timeout": 10}}
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
TIME_ZONE = "UTC"
USE_TZ = True
WSGI_APPLICATION = "chargers.wsgi.application"
logging.basicConfig(level=logging.INFO)  # else the log does not say why a charger is refused
