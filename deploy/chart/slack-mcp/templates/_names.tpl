{{- define "slack-mcp.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* At most 52 characters: a CronJob adds 11 to its own name, and a Job's name has 63. */}}
{{- define "slack-mcp.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 42 | trimSuffix "-" -}}
{{- else if contains (include "slack-mcp.name" .) .Release.Name -}}
{{- .Release.Name | trunc 42 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "slack-mcp.name" .) | trunc 42 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What tells this release's pods from others. It never changes: a Deployment's selector cannot. */}}
{{- define "slack-mcp.releaseLabels" -}}
app.kubernetes.io/name: {{ include "slack-mcp.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* What tells the pods that serve from those that migrate or copy. */}}
{{- define "slack-mcp.serverLabels" -}}
{{ include "slack-mcp.releaseLabels" . }}
app.kubernetes.io/component: server
{{- end -}}

{{/* For the objects themselves. */}}
{{- define "slack-mcp.labels" -}}
{{ include "slack-mcp.releaseLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "slack-mcp.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "slack-mcp.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "slack-mcp.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}
