{{/* The release's name, with "modelpress" in it; short enough for the suffixes below. */}}
{{- define "modelpress.fullname" -}}
{{- ternary .Release.Name (printf "%s-modelpress" .Release.Name) (contains "modelpress" .Release.Name) | trunc 40 | trimSuffix "-" -}}
{{- end }}

{{/* Prefix of objects that live in no namespace: two releases of one name in two namespaces do not meet. */}}
{{- define "modelpress.clusterName" -}}
{{ .Release.Namespace }}-{{ include "modelpress.fullname" . }}
{{- end }}

{{/* What a selector matches: it can never change. Call with (dict "root" $ "component" "operator"). */}}
{{- define "modelpress.selectorLabels" -}}
app.kubernetes.io/name: modelpress
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* All labels of an object or a pod. Ours win over extraLabels. */}}
{{- define "modelpress.labels" -}}
{{- $own := include "modelpress.selectorLabels" . | fromYaml -}}
{{- $_ := set $own "app.kubernetes.io/version" .root.Chart.AppVersion -}}
{{- $_ := set $own "app.kubernetes.io/managed-by" .root.Release.Service -}}
{{- $_ := set $own "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version) -}}
{{- merge $own .root.Values.extraLabels | toYaml }}
{{- end }}

{{/* repository:tag. Call with (dict "root" $ "image" .Values.images.operator). */}}
{{- define "modelpress.image" -}}
{{ .image.repository }}:{{ .image.tag | default .root.Chart.AppVersion }}
{{- end }}

{{/* Where the operator reads KPIs; empty where there is no Prometheus. */}}
{{- define "modelpress.prometheusUrl" -}}
{{- if and .Values.prometheus.enabled .Values.prometheus.url -}}
{{- fail "prometheus.enabled and prometheus.url are both set: set the url to read KPIs from a Prometheus that is there, or enabled for one of the chart's own" -}}
{{- end -}}
{{- if contains "@" .Values.prometheus.url -}}
{{- fail "prometheus.url holds credentials, or another @: put them into a Secret and name it in prometheus.credentialsSecretName" -}}
{{- end -}}
{{- if .Values.prometheus.enabled -}}
http://{{ include "modelpress.fullname" . }}-prometheus.{{ .Release.Namespace }}:9090
{{- else -}}
{{ .Values.prometheus.url }}
{{- end -}}
{{- end }}

{{/* Where the operator's pod has the Secret with what Prometheus asks for; empty where there is none. */}}
{{- define "modelpress.prometheusCredentials" -}}
{{- if .Values.prometheus.credentialsSecretName -}}
{{- if .Values.prometheus.enabled -}}
{{- fail "prometheus.credentialsSecretName is for the Prometheus of prometheus.url: the chart's own, prometheus.enabled, asks for none" -}}
{{- end -}}
/etc/modelpress/prometheus
{{- end -}}
{{- end }}

{{/* The keys that must have signed what is served. Not by the schema, which would show what was given by mistake. */}}
{{- define "modelpress.publicKeys" -}}
{{- if not (regexMatch `^(\s*-----BEGIN PUBLIC KEY-----[A-Za-z0-9+/=\s]+-----END PUBLIC KEY-----)*\s*$` .Values.signing.publicKeys) }}
{{- fail "signing.publicKeys holds something else than public keys in PEM: make them with `openssl pkey -pubout`, and keep private ones in the Secret signing.secretName" -}}
{{- end }}
{{- .Values.signing.publicKeys }}
{{- end }}
