{{/* The operator's settings as environment variables: the names and the order of Settings in settings.py; and others. */}}
{{- define "modelpress.settings" -}}
- {name: MODELPRESS_WATCH_NAMESPACES, value: {{ .Values.watchNamespaces | join "," | quote }}}
- {name: MODELPRESS_WORKERS, value: {{ .Values.workers | quote }}}
- {name: MODELPRESS_RESYNC_SECONDS, value: {{ .Values.resyncSeconds | quote }}}
- {name: MODELPRESS_LOG_LEVEL, value: {{ .Values.logLevel | quote }}}
- {name: MODELPRESS_BUILDER_IMAGE, value: {{ include "modelpress.image" (dict "root" . "image" .Values.images.builder) | quote }}}
- {name: MODELPRESS_SERVER_IMAGE, value: {{ include "modelpress.image" (dict "root" . "image" .Values.images.server) | quote }}}
- {name: MODELPRESS_UNPACK_IMAGE, value: {{ include "modelpress.image" (dict "root" . "image" .Values.images.unpack) | quote }}}
- {name: MODELPRESS_IMAGE_PULL_POLICY, value: {{ .Values.images.pullPolicy | quote }}}
- {name: MODELPRESS_IMAGE_PULL_SECRETS, value: {{ .Values.images.pullSecrets | join "," | quote }}}
- {name: MODELPRESS_STORE_CLAIM_NAME, value: {{ .Values.store.claimName | quote }}}
- {name: MODELPRESS_STORE_URI, value: {{ .Values.store.uri | quote }}}
- {name: MODELPRESS_STORE_SECRET_NAME, value: {{ .Values.store.secretName | quote }}}
- {name: MODELPRESS_DATA_CLAIM_NAME, value: {{ .Values.data.claimName | quote }}}
- {name: MODELPRESS_SIGNING_PUBLIC_KEYS, value: {{ include "modelpress.publicKeys" . | quote }}}
- {name: MODELPRESS_SIGNING_SECRET_NAME, value: {{ .Values.signing.secretName | quote }}}
- {name: MODELPRESS_PROMETHEUS_URL, value: {{ include "modelpress.prometheusUrl" . | quote }}}
- {name: MODELPRESS_PROMETHEUS_CREDENTIALS_FOLDER, value: {{ include "modelpress.prometheusCredentials" . | quote }}}
- {name: MODELPRESS_PROMETHEUS_INSECURE, value: {{ .Values.prometheus.insecure | quote }}}
- {name: MODELPRESS_PROMETHEUS_TIMEOUT_SECONDS, value: {{ .Values.prometheus.timeoutSeconds | quote }}}
- {name: MODELPRESS_KPI_SECONDS, value: {{ .Values.prometheus.kpiSeconds | quote }}}
- {name: MODELPRESS_PRICE_CPU_CORE_HOUR, value: {{ .Values.prices.cpuCoreHour | quote }}}
- {name: MODELPRESS_PRICE_MEMORY_GIBIBYTE_HOUR, value: {{ .Values.prices.memoryGibibyteHour | quote }}}
- {name: MODELPRESS_HEALTH_PORT, value: {{ .Values.healthPort | quote }}}
- {name: MODELPRESS_METRICS_PORT, value: {{ .Values.metricsPort | quote }}}
{{- with .Values.operator.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}
