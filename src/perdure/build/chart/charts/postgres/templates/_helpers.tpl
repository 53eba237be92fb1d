{{/* The name of everything in it, and of its host. */}}
{{- define "perdure-postgres.fullname" -}}
{{- printf "%s-postgres" (.Release.Name | trunc 40 | trimSuffix "-") -}}
{{- end }}

{{/* The Secret that has its POSTGRES_PASSWORD. */}}
{{- define "perdure-postgres.secret" -}}
{{- default (include "perdure-postgres.fullname" .) .Values.existingSecret -}}
{{- end }}

{{- define "perdure-postgres.selector" -}}
app.kubernetes.io/name: postgres
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "perdure-postgres.labels" -}}
{{ include "perdure-postgres.selector" . }}
app.kubernetes.io/component: postgres
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}
