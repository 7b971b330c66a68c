from django.urls import path

import views

urlpatterns = [
    path("", views.page),
    path("form/", views.form),
    path("upload/", views.upload),
    path("webhook/", views.webhook),
    path("stream/", views.stream),
    path("large/", views.large),
    path("away/", views.away),
    path("accel/<str:name>", views.accel),
    path("meta/", views.meta),
    path("health/", views.health),
]
