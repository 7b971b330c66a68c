from django.urls import re_path

import views

urlpatterns = [re_path("", views.do)]
