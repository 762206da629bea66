{{/* Bytes of blocks that Prometheus keeps: four fifths of its disk, since what it writes now counts, and does not go. */}}
{{- define "modelpress.prometheusKeptBytes" -}}
{{- $units := dict "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 "M" 1000000 "G" 1000000000 "T" 1000000000000 -}}
{{- $size := .Values.prometheus.storageSize -}}
{{- $unit := index $units (regexFind "[A-Za-z]+$" $size) -}}
{{- div (mul (regexFind "^[0-9]+" $size) $unit 4) 5 -}}
{{- end }}
