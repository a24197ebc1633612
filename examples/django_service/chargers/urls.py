"""Where the pages are."""

from django.urls import path

from . import views

urlpatterns = [
    path("", views.page),
    path("chargers", views.add),
    path("chargers/<charger>/<order>", views.give),
    path("health", views.health),
]
