{{/*
A Job that runs one command and ends: dict "root" $ "component" "migrate" "tag" … "args" … "migrates" bool "waits" bool
"hook" ""|"pre-install,pre-upgrade"
*/}}
{{- define "platform.job" -}}
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ include "platform.fullname" .root }}-{{ .component }}-{{ include "platform.jobSuffix" . }}
  labels:
    {{- include "platform.labels" .root | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
  {{- with .hook }}
  annotations:
    helm.sh/hook: {{ . }}
    helm.sh/hook-weight: "0"
    helm.sh/hook-delete-policy: before-hook-creation
  {{- end }}
spec:
  backoffLimit: 4
  ttlSecondsAfterFinished: 86400
  template:
    metadata:
      labels:
        {{- include "platform.podLabels" .root | nindent 8 }}
        app.kubernetes.io/component: {{ .component }}
    spec:
      restartPolicy: Never
      {{- include "platform.podBase" . | nindent 6 }}
      {{- if .waits }}
      initContainers:
      - {{- include "platform.container" (merge (dict "name" "wait-for-tables" "resources" .root.Values.migrations.resources "args" (list "db" "wait" "--timeout-seconds" (.root.Values.migrations.waitSeconds | toString))) .) | nindent 8 }}
      {{- end }}
      containers:
      - {{- include "platform.container" (merge (dict "name" .component "resources" .root.Values.migrations.resources) .) | nindent 8 }}
{{- end -}}
