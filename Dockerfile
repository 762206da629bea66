# The images of Modelpress; docs/images.md says how to build them, with and without an image registry.
ARG PYTHON_IMAGE=docker.io/library/python:3.12-slim

# uv, and `online`: runs a command with the certificates and index settings of the building machine, where it gave any.
# They are secrets of the single steps that need them, so that no layer holds them.
FROM ${PYTHON_IMAGE} AS tools
ENV DEBIAN_FRONTEND=noninteractive \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore \
    UV_LINK_MODE=copy \
    UV_NO_CACHE=1 \
    UV_PROJECT_ENVIRONMENT=/opt/modelpress/venv \
    UV_PYTHON_DOWNLOADS=never
RUN printf '%s\n' \
      '#!/bin/sh' \
      'if [ -s /run/secrets/ca ]; then export SSL_CERT_FILE=/run/secrets/ca PIP_CERT=/run/secrets/ca; fi' \
      'if [ -s /run/secrets/index ]; then set -a; . /run/secrets/index; set +a; fi' \
      'exec "$@"' \
      > /usr/local/bin/online && chmod 755 /usr/local/bin/online
# What serving and training never open: tests, type stubs, C sources, numpy's build tools, a C parser, LiteRT's parts for
# GPUs and phones, and the symbols of the largest libraries.
RUN printf '%s\n' \
      '#!/bin/sh' \
      'set -eu' \
      'cd /opt/modelpress/venv/lib/python3*/site-packages' \
      'find . -type d -name tests -prune -exec rm -r {} +' \
      'rm -rf tensorflow/include clang numpy/distutils simdjson/simdjson.h simdjson/simdjson.cpp' \
      'find . -name "*.pyi" -delete' \
      'for library in ai_edge_litert/libpywrap_litert_common.so cryptography/hazmat/bindings/_rust.abi3.so obstore/_obstore.abi3.so csimdjson.abi3.so; do' \
      '  if [ -e "$library" ]; then strip --strip-unneeded "$library"; fi' \
      'done' \
      'rm -rf ai_edge_litert/libLiteRtWebGpuAccelerator.so ai_edge_litert/tools/apply_plugin_main ai_edge_litert/vendors' \
      'rm -f /opt/modelpress/venv/.lock' \
      > /usr/local/bin/slim-venv && chmod 755 /usr/local/bin/slim-venv
# Copies what was written into the venv since the stamp: our code becomes a layer of its own, above the dependencies.
RUN printf '%s\n' \
      '#!/bin/sh' \
      'set -eu' \
      'cd / && find opt/modelpress/venv -cnewer /stamp ! -type d ! -name .lock > /newer' \
      'mkdir /code && tar -cf /newer.tar -T /newer && tar -xf /newer.tar -C /code' \
      > /usr/local/bin/copy-newer && chmod 755 /usr/local/bin/copy-newer
# Of Python's own modules too: python:slim comes without, and where a base's files have all one date what there is counts
# as stale. On a read-only root they would be compiled at every start. Not by date, which no copy can change then.
RUN library=$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))') \
    && find "$library" -name '*.pyc' -not -path '*-packages/*' -delete \
    && python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash \
      -x '/(test|tests|idlelib|lib2to3|ensurepip|tkinter|turtledemo|pydoc_data|[a-z]+-packages)/' "$library" \
    && mkdir /bytecode \
    && find "$library" -name '*.pyc' -not -path '*-packages/*' -print0 | tar -cf - --null -T - 2>/dev/null | tar -xf - -C /bytecode
# python:slim has ensurepip; Debian's python3 leaves it to another package. No final image needs it, nor `strip`.
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends binutils \
    && { python3 -c 'import ensurepip' 2>/dev/null || apt-get install -y -qq --no-install-recommends python3-venv; }
RUN --mount=type=secret,id=ca --mount=type=secret,id=index \
    python3 -m venv /opt/uv && online /opt/uv/bin/pip install --no-cache-dir --quiet uv==0.13.8
ENV PATH=/opt/uv/bin:$PATH
WORKDIR /source
COPY pyproject.toml uv.lock ./
COPY operator/pyproject.toml operator/
COPY model_artifact/pyproject.toml model_artifact/
COPY model_builder/pyproject.toml model_builder/
COPY model_server/pyproject.toml model_server/
COPY e2e/pyproject.toml e2e/

# Dependencies first: a change of our own code leaves this layer alone.
FROM tools AS builder-dependencies
RUN --mount=type=secret,id=ca --mount=type=secret,id=index \
    online uv sync --locked --no-default-groups --no-editable --package modelpress-builder --compile-bytecode \
      --python "$(command -v python3)" --no-install-workspace \
    && slim-venv

FROM builder-dependencies AS builder-code
COPY model_artifact/src model_artifact/src
COPY model_builder/src model_builder/src
RUN touch /stamp \
    && uv sync --locked --no-default-groups --no-editable --package modelpress-builder --compile-bytecode --offline \
    && copy-newer

# The baseline of the load experiment: the builder's own TensorFlow, and Flask beside it.
FROM builder-dependencies AS flask-dependencies
RUN --mount=type=secret,id=ca --mount=type=secret,id=index \
    touch /stamp \
    && online uv sync --locked --inexact --only-group flask --compile-bytecode --no-install-workspace \
    && copy-newer

FROM tools AS server-dependencies
RUN --mount=type=secret,id=ca --mount=type=secret,id=index \
    online uv sync --locked --no-default-groups --no-editable --package modelpress-server --compile-bytecode \
      --python "$(command -v python3)" --no-install-workspace \
    && slim-venv
# The same names as in TensorFlow Serving's image, so that a pod made for it runs this one. `exec` hands the process
# over to the server, so that SIGTERM reaches it and it drains.
RUN mkdir -p /files/usr/bin /files/models \
    && printf '%s\n' \
      '#!/bin/sh' \
      'exec tensorflow_model_server --port=8500 --rest_api_port=8501 --model_name="${MODEL_NAME}" --model_base_path="${MODEL_BASE_PATH}/${MODEL_NAME}" "$@"' \
      > /files/usr/bin/tf_serving_entrypoint.sh \
    && chmod 755 /files/usr/bin/tf_serving_entrypoint.sh \
    && ln -s /opt/modelpress/venv/bin/tensorflow_model_server /files/usr/bin/tensorflow_model_server

FROM server-dependencies AS server-code
COPY model_artifact/src model_artifact/src
COPY model_server/src model_server/src
RUN touch /stamp \
    && uv sync --locked --no-default-groups --no-editable --package modelpress-server --compile-bytecode --offline \
    && copy-newer

# With OpenTelemetry, 3.7 MB of files, so that the chart's `operator.extraEnv` alone turns traces on.
FROM tools AS operator-dependencies
RUN --mount=type=secret,id=ca --mount=type=secret,id=index \
    online uv sync --locked --no-default-groups --no-editable --package modelpress-operator --extra tracing \
      --compile-bytecode --python "$(command -v python3)" --no-install-workspace \
    && slim-venv
# The operator speaks JSON over the client's connection: neither its asynchronous twin nor its typed calls are opened.
RUN cd /opt/modelpress/venv/lib/python3*/site-packages/kubernetes \
    && rm -r aio client/api \
    && find . -name '*_test*.py*' -delete

FROM operator-dependencies AS operator-code
COPY model_artifact/src model_artifact/src
COPY operator/src operator/src
RUN touch /stamp \
    && uv sync --locked --no-default-groups --no-editable --package modelpress-operator --extra tracing \
      --compile-bytecode --offline \
    && copy-newer

FROM ${PYTHON_IMAGE} AS builder
LABEL org.opencontainers.image.title="Modelpress builder" \
      org.opencontainers.image.description="Iterative prune-then-quantise training, LiteRT export and evaluation" \
      org.opencontainers.image.licenses="Apache-2.0"
# A read-only root with one writable folder, /tmp, is enough.
ENV HOME=/tmp \
    PATH=/opt/modelpress/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    TMPDIR=/tmp
COPY LICENSE NOTICE /opt/modelpress/
COPY --from=tools /bytecode/ /
COPY --from=builder-dependencies /opt/modelpress/venv /opt/modelpress/venv
COPY --from=builder-code /code/ /
USER 65532:65532
ENTRYPOINT ["/opt/modelpress/venv/bin/model-builder"]

FROM ${PYTHON_IMAGE} AS server
LABEL org.opencontainers.image.title="Modelpress model server" \
      org.opencontainers.image.description="TensorFlow Serving's protocols over LiteRT, without TensorFlow" \
      org.opencontainers.image.licenses="Apache-2.0"
ENV HOME=/tmp \
    MODEL_BASE_PATH=/models \
    MODEL_NAME=model \
    PATH=/opt/modelpress/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    TMPDIR=/tmp
COPY LICENSE NOTICE /opt/modelpress/
COPY --from=tools /bytecode/ /
COPY --from=server-dependencies /files/ /
COPY --from=server-dependencies /opt/modelpress/venv /opt/modelpress/venv
COPY --from=server-code /code/ /
EXPOSE 8500 8501
USER 65532:65532
ENTRYPOINT ["/usr/bin/tf_serving_entrypoint.sh"]

FROM ${PYTHON_IMAGE} AS operator
LABEL org.opencontainers.image.title="Modelpress operator" \
      org.opencontainers.image.description="Kubernetes operator for compressed models" \
      org.opencontainers.image.licenses="Apache-2.0"
ENV HOME=/tmp \
    PATH=/opt/modelpress/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    TMPDIR=/tmp
COPY LICENSE NOTICE /opt/modelpress/
COPY --from=tools /bytecode/ /
COPY --from=operator-dependencies /opt/modelpress/venv /opt/modelpress/venv
COPY --from=operator-code /code/ /
EXPOSE 8080 8081
USER 65532:65532
ENTRYPOINT ["/opt/modelpress/venv/bin/modelpress-operator"]

FROM ${PYTHON_IMAGE} AS flask-baseline
LABEL org.opencontainers.image.title="Modelpress load experiment's baseline" \
      org.opencontainers.image.description="A float32 SavedModel in TensorFlow behind Flask" \
      org.opencontainers.image.licenses="Apache-2.0"
ENV HOME=/tmp \
    PATH=/opt/modelpress/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    TMPDIR=/tmp
COPY LICENSE NOTICE /opt/modelpress/
COPY --from=tools /bytecode/ /
COPY --from=builder-dependencies /opt/modelpress/venv /opt/modelpress/venv
COPY --from=flask-dependencies /code/ /
COPY e2e/load/flask_baseline /opt/modelpress/flask_baseline
EXPOSE 8501
USER 65532:65532
ENTRYPOINT ["/opt/modelpress/venv/bin/python", "/opt/modelpress/flask_baseline/app.py"]

# The load experiment's generators: the modules that they import, and JMeter, whose checked jars come in a build context.
FROM tools AS generator-dependencies
RUN --mount=type=secret,id=ca --mount=type=secret,id=index \
    online uv sync --locked --only-group generator --compile-bytecode --python "$(command -v python3)" \
      --no-install-workspace \
    && slim-venv

FROM ${PYTHON_IMAGE} AS load-generator
LABEL org.opencontainers.image.title="Modelpress load generators" \
      org.opencontainers.image.description="JMeter and a gRPC generator, which send the profiles of the load experiment" \
      org.opencontainers.image.licenses="Apache-2.0"
ENV HOME=/tmp \
    MODELPRESS_JMETER_HOME=/opt/modelpress/jmeter \
    PATH=/opt/modelpress/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONPATH=/opt/modelpress/modules \
    PYTHONUNBUFFERED=1 \
    TMPDIR=/tmp
# Debian's package of Java wants the folder of manuals, which slim images lack.
RUN mkdir -p /usr/share/man/man1 \
    && apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends default-jre-headless \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*
COPY LICENSE NOTICE /opt/modelpress/
COPY --from=tools /bytecode/ /
COPY --from=generator-dependencies /opt/modelpress/venv /opt/modelpress/venv
COPY --from=jmeter / /opt/modelpress/jmeter
COPY model_server/src/model_server/__init__.py /opt/modelpress/modules/model_server/
COPY model_server/src/model_server/_protos /opt/modelpress/modules/model_server/_protos
COPY e2e/cluster/__init__.py e2e/cluster/made_once.py e2e/cluster/places.py /opt/modelpress/modules/cluster/
COPY e2e/load /opt/modelpress/modules/load
USER 65532:65532
ENTRYPOINT ["/opt/modelpress/venv/bin/python", "-m", "load.generator_pod"]
