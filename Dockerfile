# The image of sluice: the binary, the libraries it names, one configuration file. Nothing else: no
# shell, no package manager. Runs as nobody (65532) with a read-only root; give it a writable /tmp.
#   docker build -t sluice .        (--build-arg BASE=... for another Debian 12)
ARG BASE=debian:12

FROM ${BASE} AS build
WORKDIR /src
COPY tests/install tests/install
RUN ./tests/install build
COPY CMakeLists.txt CMakePresets.json ./
COPY proxy proxy
COPY plugins plugins
COPY conf/django-uwsgi.yaml conf/django-uwsgi.yaml
# Debian has no static archives of prometheus-cpp, spdlog and fmt, so the loader and libraries come along.
# -O2 is what the tests run; at -O3 gcc 12 warns of what is not there (its bug 105651).
RUN cmake --preset image \
 && cmake --build --preset image --target sluice
RUN mkdir -p /out/etc/sluice /out/run/sluice /out/vol/static /out/tmp \
 && install -s -m 755 build/image/sluice /out/sluice \
 && install -m 644 conf/django-uwsgi.yaml /out/etc/sluice/sluice.yaml \
 && ldd /out/sluice | awk '$2 == "=>" && $3 ~ /^\// { print $3 } $1 ~ /^\// { print $1 }' \
  | xargs -I{} cp -L --parents {} /out \
 && chown 65532:65532 /out/run/sluice && chmod 1777 /out/tmp \
 && chroot /out /sluice check -c /etc/sluice/sluice.yaml

FROM scratch
COPY --from=build /out/ /
USER 65532:65532
EXPOSE 8080 9901
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=5s CMD ["/sluice", "healthcheck"]
ENTRYPOINT ["/sluice"]
CMD ["run", "-c", "/etc/sluice/sluice.yaml"]
