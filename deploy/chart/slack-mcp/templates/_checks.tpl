{{/* What no schema can say: each case that cannot work ends with a sentence on how to mend it. */}}
{{- define "slack-mcp.checks" -}}
{{- include "slack-mcp.checkShutdown" . -}}
{{- include "slack-mcp.checkDatabase" . -}}
{{- include "slack-mcp.checkScaling" . -}}
{{- include "slack-mcp.checkBackup" . -}}
{{- if and .Values.metrics.serviceMonitor.enabled (not (hasKey .Values.secretSettings "METRICS_TOKEN")) -}}
{{- fail "metrics.serviceMonitor.enabled needs secretSettings.METRICS_TOKEN: who does not show it cannot read /metrics." -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.host) -}}
{{- fail "ingress.enabled needs ingress.host, the name under which Slack reaches the service." -}}
{{- end -}}
{{- end -}}

{{/* The seconds of HttpDeadlines.finish_s and WORKER_EXIT_S, and some to spare. */}}
{{- define "slack-mcp.checkShutdown" -}}
{{- $requestSeconds := 5 -}}
{{- $workerSeconds := 25 -}}
{{- $spareSeconds := 5 -}}
{{- with .Values.shutdown -}}
{{- $end := addf .drainDelaySeconds (maxf .drainTimeoutSeconds $requestSeconds) $spareSeconds -}}
{{- $whole := addf .preStopSeconds $end -}}
{{- if gt $whole (float64 .gracePeriodSeconds) -}}
{{- fail (printf "shutdown.gracePeriodSeconds is %v, and a pod may need %v s to end: preStopSeconds %v + drainDelaySeconds %v + drainTimeoutSeconds %v (at least %v) + %v to spare. Raise it, or lower one of them." .gracePeriodSeconds $whole .preStopSeconds .drainDelaySeconds .drainTimeoutSeconds $requestSeconds $spareSeconds) -}}
{{- end -}}
{{- if and (gt (int $.Values.workers) 1) (gt $end (float64 $workerSeconds)) -}}
{{- fail (printf "With workers above 1 a worker is killed %v s after SIGTERM, and may need %v s to end: lower shutdown.drainDelaySeconds or shutdown.drainTimeoutSeconds, or set workers to 1." $workerSeconds $end) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "slack-mcp.checkDatabase" -}}
{{- if .Values.sqlite.enabled -}}
{{- if or .Values.autoscaling.enabled (gt (int .Values.replicaCount) 1) -}}
{{- fail "sqlite.enabled is for one pod: set replicaCount to 1 and autoscaling.enabled to false, or use PostgreSQL." -}}
{{- end -}}
{{- if gt (int .Values.workers) 1 -}}
{{- fail "sqlite.enabled is for one process: set workers to 1, or use PostgreSQL." -}}
{{- end -}}
{{- if hasKey .Values.secretSettings "DATABASE_URL" -}}
{{- fail "sqlite.enabled and secretSettings.DATABASE_URL exclude each other: set secretSettings.DATABASE_URL to null." -}}
{{- end -}}
{{- if eq .Values.migration.mode "job" -}}
{{- fail "sqlite.enabled needs migration.mode start: while a pod has the database no Job can open it." -}}
{{- end -}}
{{- else if not (hasKey .Values.secretSettings "DATABASE_URL") -}}
{{- fail "secretSettings.DATABASE_URL is missing: name the key of a Secret that holds the URL of PostgreSQL, or set sqlite.enabled." -}}
{{- end -}}
{{- range $name, $source := .Values.secretSettings -}}
{{- if not (or $source.name $.Values.existingSecret) -}}
{{- fail (printf "existingSecret is not set: name the Secret that holds %s, or set secretSettings.%s.name." $name $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "slack-mcp.checkBackup" -}}
{{- if .Values.backup.enabled -}}
{{- $target := default "" .Values.settings.BACKUP_TARGET -}}
{{- if .Values.sqlite.enabled -}}
{{- fail "backup.enabled needs PostgreSQL: no other pod can open SQLite's volume. Run `slack-mcp backup create` in the pod." -}}
{{- end -}}
{{- if not $target -}}
{{- fail "backup.enabled needs settings.BACKUP_TARGET: s3://bucket/prefix, or /backups with backup.existingClaim." -}}
{{- end -}}
{{- if not (or (hasPrefix "s3://" $target) (and .Values.backup.existingClaim (hasPrefix "/backups" $target))) -}}
{{- fail (printf "settings.BACKUP_TARGET is %s, which would be gone with the pod: set it to s3://bucket/prefix, or to /backups and name a volume claim in backup.existingClaim." $target) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "slack-mcp.checkScaling" -}}
{{- with .Values.autoscaling -}}
{{- if .enabled -}}
{{- if lt (int .maxReplicas) (int .minReplicas) -}}
{{- fail (printf "autoscaling.maxReplicas is %v, below autoscaling.minReplicas, which is %v." .maxReplicas .minReplicas) -}}
{{- end -}}
{{- if not (or .cpu.enabled .backlog.enabled) -}}
{{- fail "autoscaling.enabled needs something to scale by: set autoscaling.cpu.enabled or autoscaling.backlog.enabled." -}}
{{- end -}}
{{- if and .cpu.enabled (not (dig "requests" "cpu" "" $.Values.resources)) -}}
{{- fail "autoscaling.cpu.enabled needs resources.requests.cpu: utilization is a share of it." -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
