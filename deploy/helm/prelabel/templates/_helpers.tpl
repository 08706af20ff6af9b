{{- define "prelabel.name" -}}
{{- if contains "prelabel" .Release.Name }}{{ .Release.Name | trunc 63 | trimSuffix "-" }}{{ else }}{{ printf "%s-prelabel" .Release.Name | trunc 63 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "prelabel.selector" -}}
app.kubernetes.io/name: prelabel
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "prelabel.labels" -}}
{{ include "prelabel.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "prelabel.image" -}}
{{- if .Values.image.digest }}{{ .Values.image.repository }}@{{ .Values.image.digest }}{{ else }}{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{- /* The names of the settings that are in the Secret, as a list in JSON. */ -}}
{{- define "prelabel.secretKeys" -}}
{{- if .Values.secrets.existing }}{{ .Values.secrets.keys | sortAlpha | toJson }}{{ else }}{{ keys .Values.secrets.values | sortAlpha | toJson }}{{ end }}
{{- end }}

{{- define "prelabel.secretName" -}}
{{- .Values.secrets.existing | default (include "prelabel.name" .) }}
{{- end }}

{{- /* "true" where corrections are in a database that several services can share. */ -}}
{{- define "prelabel.sharesDatabase" -}}
{{- if has "PRELABEL_DATABASE_URL" (include "prelabel.secretKeys" . | fromJsonArray) }}
{{- $address := get .Values.secrets.values "PRELABEL_DATABASE_URL" | default "" }}
{{- if or .Values.secrets.existing (hasPrefix "postgres" $address) }}true{{ end }}
{{- end }}
{{- end }}

{{- define "prelabel.isSeveral" -}}
{{- if .Values.autoscaling.enabled }}{{ if gt (int .Values.autoscaling.maxReplicas) 1 }}true{{ end }}{{ else if gt (int .Values.replicas) 1 }}true{{ end }}
{{- end }}

{{- /* "true" where an old and a new pod may run at the same time: no volume of theirs is bound to one node, and no SQLite file is shared. */ -}}
{{- define "prelabel.mayOverlap" -}}
{{- $alone := and .Values.models.persistent (not .Values.models.existingClaim) (eq .Values.models.accessMode "ReadWriteOnce") }}
{{- if and (include "prelabel.sharesDatabase" .) (not $alone) }}true{{ end }}
{{- end }}

{{- define "prelabel.validate" -}}
{{- if and .Values.secrets.existing .Values.secrets.values }}{{ fail "secrets.existing and secrets.values exclude each other: put all of them into the Secret, and their names into secrets.keys" }}{{ end }}
{{- if include "prelabel.isSeveral" . }}
{{- if not (include "prelabel.sharesDatabase" .) }}{{ fail "several replicas cannot share the SQLite file of corrections: give PRELABEL_DATABASE_URL=postgresql://… in secrets, or set replicas: 1 and autoscaling.enabled: false" }}{{ end }}
{{- if not (and (hasKey .Values.settings "LABEL_STUDIO_URL") (has "LABEL_STUDIO_API_KEY" (include "prelabel.secretKeys" . | fromJsonArray))) }}{{ fail "several replicas need LABEL_STUDIO_URL in settings and LABEL_STUDIO_API_KEY in secrets: the address and token that Label Studio sends reach one of them only" }}{{ end }}
{{- if not (include "prelabel.mayOverlap" .) }}{{ fail "several replicas cannot share a ReadWriteOnce volume of models: set models.accessMode: ReadWriteMany, or models.persistent: false, so that each pod downloads its own" }}{{ end }}
{{- end }}
{{- if and .Values.autoscaling.enabled (not .Values.autoscaling.cpuPercent) (not .Values.autoscaling.imagesInFlight) }}{{ fail "autoscaling needs autoscaling.cpuPercent or autoscaling.imagesInFlight" }}{{ end }}
{{- if and .Values.metrics.annotations (has "BASIC_AUTH_PASS" (include "prelabel.secretKeys" . | fromJsonArray)) }}{{ fail "/metrics needs the password of BASIC_AUTH_PASS, which annotations cannot hold: set metrics.serviceMonitor, or scrape it by a job of your own" }}{{ end }}
{{- end }}
