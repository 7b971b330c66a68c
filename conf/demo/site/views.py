"""Views of the demonstration, each there to show one thing that a proxy can get wrong."""
import hashlib
import hmac
import time

from django.http import HttpResponse, HttpResponseRedirect, JsonResponse, StreamingHttpResponse
from django.shortcuts import render
from django.views.decorators.csrf import csrf_exempt

WEBHOOK_KEY = b"webhook key"


def page(request):
    return render(request, "page.html", {"host": request.get_host(), "secure": request.is_secure()})


def form(request):
    """CSRF: the cookie, the token in the form and the Host have to come through unharmed."""
    greeting = "Hello, %s!" % request.POST["name"] if request.method == "POST" else ""
    return render(request, "form.html", {"greeting": greeting})


@csrf_exempt
def upload(request):
    digest, size = hashlib.sha256(), 0
    while piece := request.read(65536):
        digest.update(piece)
        size += len(piece)
    return JsonResponse({"bytes": size, "sha256": digest.hexdigest()})


@csrf_exempt
def webhook(request):
    """A signature over the very bytes of the body."""
    right = hmac.new(WEBHOOK_KEY, request.body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(right, request.headers.get("X-Signature", "")):
        return HttpResponse("bad signature", status=403)
    return HttpResponse("verified")


def stream(request):
    """Pieces with pauses between them; ?buffer=no asks the proxy to pass each on at once."""
    def pieces():
        for n in range(int(request.GET.get("pieces", "5"))):
            yield "piece %d\n" % n
            time.sleep(float(request.GET.get("pause", "0")))
    answer = StreamingHttpResponse(pieces(), content_type=request.GET.get("type", "text/plain"))
    if request.GET.get("buffer") == "no":
        answer["X-Accel-Buffering"] = "no"
    return answer


def large(request):
    return HttpResponse(b"x" * int(request.GET.get("bytes", "1000000")), content_type="application/octet-stream")


def away(request):
    return HttpResponseRedirect(request.build_absolute_uri("/"))


def accel(request, name):
    """The application decides, sluice sends the file."""
    answer = HttpResponse(content_type="text/plain")
    answer["X-Accel-Redirect"] = "/internal/" + name
    return answer


def meta(request):
    return JsonResponse({k: v for k, v in request.META.items() if isinstance(v, str) and "." not in k})


def health(request):
    return HttpResponse("well\n", content_type="text/plain")
