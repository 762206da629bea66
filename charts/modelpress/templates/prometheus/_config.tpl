{{/* What the chart's own Prometheus scrapes: what KPIs need, and the operator. */}}
{{- define "modelpress.prometheusConfig" -}}
global:
  scrape_interval: {{ .Values.prometheus.scrapeSeconds }}s
  scrape_timeout: {{ .Values.prometheus.scrapeSeconds }}s
scrape_configs:
  - job_name: modelpress-serving
    kubernetes_sd_configs:
      - role: pod
        {{- with .Values.watchNamespaces }}
        namespaces: {names: {{ toJson . }}}
        {{- end }}
        selectors:
          - {role: pod, label: "app.kubernetes.io/managed-by=modelpress,app.kubernetes.io/component=server"}
    relabel_configs:
      - source_labels: [__meta_kubernetes_pod_phase]
        regex: Running
        action: keep
      - source_labels: [__meta_kubernetes_pod_container_name, __meta_kubernetes_pod_container_port_name]
        regex: server;http
        action: keep
      - {source_labels: [__meta_kubernetes_pod_annotation_prometheus_io_path], target_label: __metrics_path__}
      - {source_labels: [__meta_kubernetes_namespace], target_label: namespace}
      - {source_labels: [__meta_kubernetes_pod_name], target_label: pod}
      - {source_labels: [__meta_kubernetes_pod_container_name], target_label: container}
      - {source_labels: [__meta_kubernetes_pod_label_modelpress_dev_model], target_label: modelpress_dev_model}
    metric_relabel_configs:
      - source_labels: [__name__]
        regex: ":tensorflow:serving:.*|modelpress_(predict|queue)_duration_seconds_bucket"
        action: keep
  - job_name: modelpress-operator
    # What it tells of a model carries that model's namespace.
    honor_labels: true
    kubernetes_sd_configs:
      - role: pod
        namespaces: {names: [{{ .Release.Namespace | quote }}]}
        selectors:
          - {role: pod, label: "app.kubernetes.io/name=modelpress,app.kubernetes.io/instance={{ .Release.Name }},app.kubernetes.io/component=operator"}
    relabel_configs:
      - source_labels: [__meta_kubernetes_pod_container_port_name]
        regex: metrics
        action: keep
      - {source_labels: [__meta_kubernetes_namespace], target_label: namespace}
      - {source_labels: [__meta_kubernetes_pod_name], target_label: pod}
  {{- if .Values.prometheus.kubelet.enabled }}
  - job_name: kubelet-cadvisor
    scheme: https
    metrics_path: /metrics/cadvisor
    scrape_interval: {{ .Values.prometheus.kubelet.scrapeSeconds }}s
    scrape_timeout: {{ .Values.prometheus.kubelet.scrapeSeconds }}s
    authorization: {credentials_file: /var/run/secrets/kubernetes.io/serviceaccount/token}
    tls_config:
      ca_file: /var/run/secrets/kubernetes.io/serviceaccount/ca.crt
      insecure_skip_verify: {{ .Values.prometheus.kubelet.insecureSkipVerify }}
    kubernetes_sd_configs:
      - role: node
    relabel_configs:
      - {source_labels: [__meta_kubernetes_node_name], target_label: node}
    metric_relabel_configs:
      - source_labels: [__name__, container]
        regex: (container_cpu_usage_seconds_total|container_memory_working_set_bytes);server
        action: keep
      {{- with .Values.watchNamespaces }}
      - source_labels: [namespace]
        regex: {{ join "|" . }}
        action: keep
      {{- end }}
  {{- end }}
{{- end }}
