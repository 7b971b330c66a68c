"""The application as a Django view."""
from django.http import HttpResponse, StreamingHttpResponse
from django.views.decorators.csrf import csrf_exempt

import deeds


@csrf_exempt
def do(request):
    name = request.META.get("HTTP_X_STORM_ID", "")
    status, body, streamed = deeds.perform(request.method, request.path, request.GET, name, lambda: request.body)
    if streamed:
        answer = StreamingHttpResponse(deeds.pieces(body), content_type="application/octet-stream")
    else:
        answer = HttpResponse(body, status=status, content_type="application/octet-stream")
        answer["Content-Length"] = str(len(body))
    answer["X-Storm-Id"] = name
    return answer
