"""A small Django site behind sluice: what a production settings file would say about its proxy."""
import os

HERE = os.path.dirname(os.path.abspath(__file__))
SECRET_KEY = "only for the demonstration"
DEBUG = False
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "example.com"]
ROOT_URLCONF = "urls"
WSGI_APPLICATION = "wsgi.application"
INSTALLED_APPS = ["django.contrib.staticfiles"]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
]
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "DIRS": [HERE + "/templates"]}]
STATICFILES_DIRS = [HERE + "/static"]
STATIC_URL = "/static/"
STATIC_ROOT = os.environ.get("STATIC_ROOT", "/vol/static")
USE_TZ = True
# sluice sets X-Forwarded-Proto itself unless a trusted proxy in front did.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
DATA_UPLOAD_MAX_MEMORY_SIZE = None
