import os

from django.core.wsgi import get_wsgi_application

import deeds

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
application = get_wsgi_application()
# Django loads its URLs with the first request; a site that is "up" has them.
application({"REQUEST_METHOD": "GET", "PATH_INFO": "/", "QUERY_STRING": "", "SERVER_NAME": "localhost", "SERVER_PORT": "80",
             "wsgi.url_scheme": "http", "wsgi.input": __import__("io").BytesIO()}, lambda *_: None)
deeds.up()
