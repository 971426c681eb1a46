{{/* What pods have in common: security, settings, secrets, the wait for the tables. */}}

{{- define "platform.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "platform.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* Variable → Secret and key, as JSON: dict "root" $ "migrates" true|false */}}
{{- define "platform.secretFiles" -}}
{{- $values := .root.Values -}}
{{- $pg := $values.postgresql -}}
{{- $files := dict "DATABASE_URL" (dict "secret" $pg.secret "key" (ternary ($pg.migrationKey | default $pg.key) $pg.key .migrates)) -}}
{{- if not .migrates -}}
{{- $files = merge $files (deepCopy $values.secretFiles) -}}
{{- $_ := set $files "REDIS_URL" (dict "secret" $values.redis.secret "key" $values.redis.key) -}}
{{- with $pg.readKey -}}{{- $_ := set $files "READ_DATABASE_URL" (dict "secret" $pg.secret "key" .) -}}{{- end -}}
{{- with $values.smtp.secret -}}{{- $_ := set $files "SMTP_URL" (dict "secret" . "key" $values.smtp.key) -}}{{- end -}}
{{- end -}}
{{ toJson $files }}
{{- end -}}

{{/* dict "root" $ "migrates" bool "service" "platform-api" */}}
{{- define "platform.environment" -}}
- name: PLATFORM_INTERNAL_PORT
  value: "9090"
{{- range $name, $_ := include "platform.secretFiles" . | fromJson }}
- name: {{ $name }}_FILE
  value: /run/platform-secrets/{{ $name }}
{{- end }}
{{- if .root.Values.storage.credentialsSecret }}
- name: AWS_SHARED_CREDENTIALS_FILE
  value: /run/platform-secrets/aws-credentials
{{- end }}
- name: OTEL_RESOURCE_ATTRIBUTES
  value: k8s.namespace.name={{ .root.Release.Namespace }},service.instance.id=$(POD_NAME)
{{- with .root.Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "platform.podName" -}}
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
{{- end -}}

{{- define "platform.mounts" -}}
- name: tmp
  mountPath: /tmp
- name: secrets
  mountPath: /run/platform-secrets
  readOnly: true
{{- if .root.Values.storage.existingClaim }}
- name: files
  mountPath: /var/lib/platform
{{- end }}
{{- with .root.Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "platform.volumes" -}}
- name: tmp
  emptyDir:
    sizeLimit: {{ .root.Values.tmpSizeLimit }}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
    {{- range $name, $from := include "platform.secretFiles" . | fromJson }}
    - secret:
        name: {{ $from.secret }}
        items:
        - key: {{ $from.key }}
          path: {{ $name }}
    {{- end }}
    {{- with .root.Values.storage.credentialsSecret }}
    - secret:
        name: {{ . }}
        items:
        - key: {{ $.root.Values.storage.credentialsKey }}
          path: aws-credentials
    {{- end }}
{{- if .root.Values.storage.existingClaim }}
- name: files
  persistentVolumeClaim:
    claimName: {{ .root.Values.storage.existingClaim }}
{{- end }}
{{- with .root.Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* dict "root" $ "name" … "tag" … "args" (list …) "migrates" bool "resources" {…} */}}
{{- define "platform.container" -}}
name: {{ .name }}
image: {{ include "platform.image" . }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
args: {{ toJson .args }}
envFrom:
- configMapRef:
    name: {{ include "platform.fullname" .root }}{{ if .hook }}-migrate{{ end }}
env:
{{ include "platform.podName" . }}
{{ include "platform.environment" . }}
volumeMounts:
{{ include "platform.mounts" . }}
securityContext:
  {{- include "platform.containerSecurity" . | nindent 2 }}
resources:
  {{- toYaml .resources | nindent 2 }}
{{- end -}}

{{/* The fields of a pod that do not depend on what it does: dict "root" $ "migrates" bool */}}
{{- define "platform.podBase" -}}
serviceAccountName: {{ include "platform.serviceAccount" .root }}{{ if and .hook .root.Values.serviceAccount.create }}-migrate{{ end }}
automountServiceAccountToken: false
enableServiceLinks: false # a Service called platform would put PLATFORM_PORT and its like among our settings
securityContext:
  {{- include "platform.podSecurity" . | nindent 2 }}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
- name: {{ . }}
{{- end }}
{{- end }}
{{- with .root.Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
volumes:
{{ include "platform.volumes" . }}
{{- end -}}

{{/*
A Deployment of one component and track.
dict "root" $ "component" "api" "track" {…} "values" .Values.api "args" (list …) "service" "platform-api" "scales" bool
*/}}
{{- define "platform.deployment" -}}
{{- $root := .root -}}
{{- $full := include "platform.fullname" $root -}}
{{- $name := list $full .component .track.name | compact | join "-" -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $name }}
  labels:
    {{- include "platform.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
spec:
  {{- if not .scales }}
  replicas: {{ .replicas }}
  {{- end }}
  revisionHistoryLimit: 5
  # longer than pods wait for their tables, or a long migration would pass for a release that failed
  progressDeadlineSeconds: {{ add $root.Values.migrations.waitSeconds 300 }}
  {{- if eq .component "scheduler" }}
  strategy:
    type: Recreate
  {{- else }}
  strategy:
    type: RollingUpdate
    rollingUpdate:
      maxSurge: 1
      maxUnavailable: 0
  {{- end }}
  selector:
    matchLabels:
      {{- include "platform.selector" $root | nindent 6 }}
      app.kubernetes.io/component: {{ .component }}
      {{- with .track.name }}
      platform-core/track: {{ . }}
      {{- end }}
  template:
    metadata:
      labels:
        {{- include "platform.podLabels" $root | nindent 8 }}
        app.kubernetes.io/component: {{ .component }}
        platform-core/scraped: "true"
        {{- with .track.name }}
        platform-core/track: {{ . }}
        {{- end }}
      annotations:
        checksum/settings: {{ include "platform.settings" $root | sha256sum }}
        {{- with .values.podAnnotations }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    spec:
      {{- include "platform.podBase" (dict "root" $root "migrates" false) | nindent 6 }}
      terminationGracePeriodSeconds: {{ $root.Values.terminationGraceSeconds }}
      initContainers:
      - {{- include "platform.container" (dict "root" $root "name" "wait-for-tables" "tag" .track.tag "migrates" false "resources" $root.Values.migrations.resources "args" (list "db" "wait" "--timeout-seconds" ($root.Values.migrations.waitSeconds | toString))) | nindent 8 }}
      containers:
      - {{- include "platform.container" (dict "root" $root "name" .component "tag" .track.tag "migrates" false "resources" .values.resources "args" .args) | nindent 8 }}
        ports:
        {{- if eq .component "api" }}
        - name: http
          containerPort: 8000
        {{- end }}
        - name: internal
          containerPort: 9090
        {{- if eq .component "api" }}
        {{- range $number := untilStep 1 (int $root.Values.api.workers) 1 }}
        - name: internal-{{ $number }} # the pod's next process, which has metrics of its own
          containerPort: {{ add 9090 $number }}
        {{- end }}
        {{- end }}
        # By the internal port: the public one answers to the names of this deployment only, and probes know none.
        startupProbe:
          httpGet: { path: /health/live, port: internal }
          periodSeconds: 2
          failureThreshold: 60
        livenessProbe:
          httpGet: { path: /health/live, port: internal }
          periodSeconds: 10
          timeoutSeconds: 5
          failureThreshold: 3
        readinessProbe:
          httpGet: { path: /health/ready, port: internal }
          periodSeconds: 5
          timeoutSeconds: 5
          failureThreshold: 2
        {{- if eq .component "api" }}
        lifecycle:
          preStop:
            exec:
              command: [sleep, {{ $root.Values.preStopSeconds | toString | quote }}]
        {{- end }}
      topologySpreadConstraints:
      {{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
      - maxSkew: 1
        topologyKey: {{ $key }}
        whenUnsatisfiable: ScheduleAnyway
        labelSelector:
          matchLabels:
            {{- include "platform.selector" $root | nindent 12 }}
            app.kubernetes.io/component: {{ $.component }}
        matchLabelKeys: [pod-template-hash]
      {{- end }}
      {{- with .values.nodeSelector }}
      nodeSelector:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .values.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .values.affinity }}
      affinity:
        {{- toYaml . | nindent 8 }}
      {{- end }}
{{- end -}}

{{/* The settings that are no secret, as a map of variables. */}}
{{- define "platform.settings" -}}
{{- $values := .Values -}}
{{- $all := dict "PLATFORM_ENV" $values.environment "PLATFORM_LOG_FORMAT" "json" -}}
{{- $_ := set $all "PLATFORM_WORKER_CONCURRENCY" ($values.worker.concurrency | toString) -}}
{{- with $values.modules -}}{{- $_ := set $all "PLATFORM_MODULES" (join "," .) -}}{{- end -}}
{{- $hosts := $values.allowedHosts -}}
{{- with $values.publicUrl -}}
{{- $_ := set $all "PLATFORM_PUBLIC_URL" . -}}
{{- $hosts = prepend $hosts (index (urlParse .) "host" | splitList ":" | first) -}}
{{- end -}}
{{- with $hosts -}}{{- $_ := set $all "PLATFORM_ALLOWED_HOSTS" (uniq . | join ",") -}}{{- end -}}
{{- with $values.storage.url -}}{{- $_ := set $all "STORAGE_URL" . -}}{{- end -}}
{{- with $values.clamd.url -}}{{- $_ := set $all "PLATFORM_CLAMD_URL" . -}}{{- end -}}
{{- with $values.seeds.adminEmail -}}{{- $_ := set $all "PLATFORM_ADMIN_EMAIL" . -}}{{- end -}}
{{- with $values.tracing.endpoint -}}
{{- $_ := set $all "OTEL_EXPORTER_OTLP_ENDPOINT" . -}}
{{- $_ := set $all "OTEL_TRACES_SAMPLER" "parentbased_traceidratio" -}}
{{- $_ := set $all "OTEL_TRACES_SAMPLER_ARG" ($values.tracing.ratio | toString) -}}
{{- end -}}
{{- range $name, $value := $values.settings -}}{{- $_ := set $all $name ($value | toString) -}}{{- end -}}
{{ toYaml $all }}
{{- end -}}
