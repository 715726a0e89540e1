{{/* The names and labels that all resources share. */}}

{{- define "whimbrel.name" -}}
{{- if contains "whimbrel" .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-whimbrel" .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "whimbrel.selector" -}}
app.kubernetes.io/name: whimbrel
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "whimbrel.labels" -}}
{{ include "whimbrel.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "whimbrel.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{/* What the server would refuse at its start is refused before it is installed. */}}
{{- define "whimbrel.check" -}}
{{- $behindProxy := regexMatch "(?m)^[ \\t]*behind_tls_proxy[ \\t]*=" .Values.config -}}
{{- if not (or .Values.insecure (and .Values.auth (or .Values.tls.secretName $behindProxy))) -}}
{{- fail "without TLS (tls.secretName, or behind_tls_proxy in config) and authentication (auth) everybody in the network could read and write: set them, or insecure to true" -}}
{{- end -}}
{{- if and (gt (int .Values.nodes) 1) (not .Values.store.url) -}}
{{- fail "several nodes share a log in PostgreSQL: set store.url, or nodes to 1" -}}
{{- end -}}
{{- end -}}
