{{/* A number as the service reads it: Helm makes floats of all, and 26214400 must not become 2.62144e+07. */}}
{{- define "slack-mcp.scalar" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) -}}{{ int64 . }}{{- else -}}{{ . }}{{- end -}}
{{- end -}}

{{- define "slack-mcp.publicUrl" -}}
{{- if and .Values.ingress.enabled (not (hasKey .Values.settings "PUBLIC_URL")) -}}
{{- printf "%s://%s" (ternary "https" "http" (ne .Values.ingress.tlsSecretName "")) .Values.ingress.host -}}
{{- end -}}
{{- end -}}

{{/* The environment of every pod of the release, so that all of them read the same settings. */}}
{{- define "slack-mcp.env" -}}
- name: HOST
  value: {{ .Values.listenHost | quote }}
- name: PORT
  value: "8080"
- name: WORKERS
  value: {{ include "slack-mcp.scalar" .Values.workers | quote }}
- name: DATA_DIR
  value: /data
- name: SLACK_MCP_DRAIN_DELAY_S
  value: {{ include "slack-mcp.scalar" .Values.shutdown.drainDelaySeconds | quote }}
- name: SLACK_MCP_DRAIN_TIMEOUT_S
  value: {{ include "slack-mcp.scalar" .Values.shutdown.drainTimeoutSeconds | quote }}
{{- with include "slack-mcp.publicUrl" . }}
- name: PUBLIC_URL
  value: {{ . | quote }}
{{- end }}
{{- range $name, $value := .Values.settings }}
- name: {{ $name }}
  value: {{ include "slack-mcp.scalar" $value | quote }}
{{- end }}
{{- range $name, $_ := .Values.secretSettings }}
- name: {{ $name }}_FILE
  value: /run/secrets/slack-mcp/{{ $name }}
{{- end }}
{{- range $name, $value := .Values.extraEnv }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end -}}

{{/* Only these can be written to: /tmp, and /data with SQLite. */}}
{{- define "slack-mcp.volumeMounts" -}}
- name: tmp
  mountPath: /tmp
- name: data
  mountPath: /data
{{- if .Values.secretSettings }}
- name: secrets
  mountPath: /run/secrets/slack-mcp
  readOnly: true
{{- end }}
{{- end -}}

{{- define "slack-mcp.volumes" -}}
- name: tmp
  emptyDir:
    sizeLimit: {{ .Values.tmp.sizeLimit }}
{{- if .Values.secretSettings }}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      {{- range $name, $source := .Values.secretSettings }}
      - secret:
          name: {{ default $.Values.existingSecret $source.name }}
          items:
            - key: {{ default $name $source.key }}
              path: {{ $name }}
      {{- end }}
{{- end }}
{{- end -}}

{{- define "slack-mcp.emptyData" -}}
- name: data
  emptyDir:
    sizeLimit: 64Mi
{{- end -}}

{{- define "slack-mcp.data" -}}
{{- if .Values.sqlite.enabled -}}
- name: data
  persistentVolumeClaim:
    claimName: {{ default (include "slack-mcp.fullname" .) .Values.sqlite.existingClaim }}
{{- else -}}
{{ include "slack-mcp.emptyData" . }}
{{- end -}}
{{- end -}}

{{/* Restricted, in the words of the Pod Security Standards; no value weakens it. */}}
{{- define "slack-mcp.podSecurity" -}}
enableServiceLinks: false
automountServiceAccountToken: false
securityContext:
  runAsNonRoot: true
  {{- with .Values.security.runAsUser }}
  runAsUser: {{ int64 . }}
  {{- end }}
  {{- with .Values.security.runAsGroup }}
  runAsGroup: {{ int64 . }}
  {{- end }}
  {{- with .Values.security.fsGroup }}
  fsGroup: {{ int64 . }}
  fsGroupChangePolicy: OnRootMismatch
  {{- end }}
  seccompProfile:
    type: RuntimeDefault
{{- end -}}

{{- define "slack-mcp.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end -}}

{{- define "slack-mcp.placement" -}}
{{- with .Values.image.pullSecrets }}
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
{{- with .Values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}
