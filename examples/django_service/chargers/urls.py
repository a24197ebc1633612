"""Where the pages are."""

from django.urls import path

from . import views

urlpatterns = [
    path("", views.page),
    path("chargers", views.add),
    path("chargers/<charger>/start", views.start),
    path("chargers/<charger>/stop", views.stop),
    path("health", views.health),
]
