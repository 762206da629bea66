{{/* A pod under Kubernetes' `restricted` policy. */}}
{{- define "modelpress.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ . }}
runAsGroup: {{ . }}
fsGroup: {{ . }}
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{/* A container under it, with a read-only root besides. */}}
{{- define "modelpress.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* Files, not environment: a rotated key is used at the next question, and no list of variables shows one. */}}
{{- define "modelpress.credentialsMount" -}}
{{- if .Values.prometheus.credentialsSecretName }}
- {name: prometheus, mountPath: {{ include "modelpress.prometheusCredentials" . }}, readOnly: true}
{{- end }}
{{- end }}

{{- define "modelpress.credentialsVolume" -}}
{{- with .Values.prometheus.credentialsSecretName }}
- name: prometheus
  secret: {secretName: {{ . }}, defaultMode: 0440}
{{- end }}
{{- end }}

{{/* Where pods of the chart run, and what pulls their images. */}}
{{- define "modelpress.placement" -}}
{{- with .Values.images.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
