{{- define "perdure.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end }}

{{- define "perdure.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "perdure.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "perdure.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{- define "perdure.image" -}}
{{- $name := required "image.repository: name the image that `perdure build` made" .Values.image.repository -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $name .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (required "image.tag: name its tag, or image.digest" (toString .Values.image.tag)) -}}
{{- end -}}
{{- end }}

{{- define "perdure.selector" -}}
app.kubernetes.io/name: {{ include "perdure.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "perdure.labels" -}}
{{ include "perdure.selector" . }}
app.kubernetes.io/version: {{ default .Values.image.tag .Values.image.digest | toString | trimPrefix "sha256:" | trunc 63 | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "perdure.serviceAccount" -}}
{{- default (include "perdure.fullname" .) .Values.serviceAccount.name -}}
{{- end }}

{{/* Where the variables of all processes come from. */}}
{{- define "perdure.envFrom" -}}
{{- if and .Values.postgres.enabled .Values.secrets.DATABASE_URI }}
{{- fail "two databases: secrets.DATABASE_URI names one, postgres.enabled makes one" }}
{{- end -}}
{{- if and (not .Values.existingSecret) (not .Values.postgres.enabled) (not .Values.secrets.DATABASE_URI) }}
{{- fail "no database: secrets.DATABASE_URI, existingSecret with a DATABASE_URI, or postgres.enabled" }}
{{- end -}}
{{- if .Values.existingSecret }}
- secretRef: {name: {{ .Values.existingSecret | quote }}}
{{- end }}
{{- if .Values.secrets }}
- secretRef: {name: {{ include "perdure.fullname" . }}}
{{- end }}
{{- end }}

{{- define "perdure.env" -}}
{{- if .Values.postgres.enabled }}
- name: POSTGRES_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ include "perdure-postgres.secret" .Subcharts.postgres }}
      key: POSTGRES_PASSWORD
- name: DATABASE_URI # $(...) is put in by Kubernetes, when the container starts
  value: postgresql://perdure:$(POSTGRES_PASSWORD)@{{ include "perdure-postgres.fullname" .Subcharts.postgres }}:5432/perdure
{{- end }}
{{- range $name, $value := .Values.environment }}
- name: {{ $name }}
  value: {{ $value | toString | quote }}
{{- end }}
- name: BG_JOB_SHUTDOWN_GRACE_PERIOD_SECS
  value: {{ .Values.grace | quote }}
- name: LOG_JSON
  value: "1"
{{- end }}

{{- define "perdure.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "perdure.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* A pod that runs the image; `part` says which kind, `settings` are its values. */}}
{{- define "perdure.pod" -}}
{{- $ := .root -}}
{{- $part := .part -}}
metadata:
  labels:
    {{- include "perdure.labels" $ | nindent 4 }}
    app.kubernetes.io/component: {{ .part }}
  annotations:
    checksum/secrets: {{ toJson (list $.Values.secrets $.Values.postgres.password) | sha256sum }}
    {{- with .settings.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "perdure.serviceAccount" $ }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ add $.Values.grace 20 }}
  securityContext:
    {{- include "perdure.podSecurity" $ | nindent 4 }}
  {{- with $.Values.image.pullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  topologySpreadConstraints:
    {{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
    - maxSkew: 1
      topologyKey: {{ $key }}
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "perdure.selector" $ | nindent 10 }}
          app.kubernetes.io/component: {{ $part }}
    {{- end }}
  {{- with .settings.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .settings.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .settings.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  volumes:
    - name: data
      emptyDir: {}
  containers:
    - name: {{ $part }}
      image: {{ include "perdure.image" $ | quote }}
      imagePullPolicy: {{ $.Values.image.pullPolicy }}
      args: [serve]
      envFrom:
        {{- include "perdure.envFrom" $ | trim | nindent 8 }}
      env:
        {{- include "perdure.env" $ | trim | nindent 8 }}
        - name: PERDURE_JOBS
          value: {{ .settings.jobs | quote }}
        {{- if eq $part "worker" }}
        - name: PERDURE_SERVES
          value: "0"
        {{- end }}
        {{- if and (eq $part "api") $.Values.insecure }}
        - name: PERDURE_INSECURE
          value: "1"
        {{- end }}
      securityContext:
        {{- include "perdure.containerSecurity" $ | nindent 8 }}
      resources:
        {{- toYaml .settings.resources | nindent 8 }}
      volumeMounts:
        - name: data
          mountPath: /data
      {{- if eq $part "api" }}
      ports:
        - name: http
          containerPort: 8000
      {{- range $probe, $more := dict "startupProbe" (dict "periodSeconds" 1 "failureThreshold" 60) "readinessProbe" (dict "periodSeconds" 5) "livenessProbe" (dict "periodSeconds" 10 "failureThreshold" 6) }}
      {{ $probe }}:
        httpGet:
          path: {{ $.Values.prefix }}/ok
          port: http
        timeoutSeconds: 5
        {{- toYaml $more | nindent 8 }}
      {{- end }}
      lifecycle:
        preStop: # until nobody is sent here any more
          exec:
            command: [python, -c, "import time; time.sleep(5)"]
      {{- end }}
{{- end }}
