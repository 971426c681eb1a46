{{/* Names, labels, tracks: what every object of the release is called. */}}

{{- define "platform.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains .Chart.Name .Release.Name -}}
{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" }}
{{- end -}}
{{- end -}}

{{- define "platform.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* Of pods: nothing that changes with the chart's version, or a release would replace pods that it does not concern. */}}
{{- define "platform.podLabels" -}}
{{ include "platform.selector" . }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "platform.labels" -}}
{{ include "platform.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "platform.serviceAccount" -}}
{{ .Values.serviceAccount.name | default (ternary (include "platform.fullname" .) "default" .Values.serviceAccount.create) }}
{{- end -}}

{{/* The image of a tag: dict "root" $ "tag" "1.2.3" */}}
{{- define "platform.image" -}}
{{- $tag := .tag | default .root.Values.image.tag | default .root.Chart.AppVersion -}}
{{ .root.Values.image.repository }}{{ ternary "@" ":" (hasPrefix "sha256:" $tag) }}{{ $tag }}
{{- end -}}

{{/*
The tracks of this release, as JSON: name, tag, whether clients' requests go there by default, and fixed numbers of pods
for those that are not active. The active one is called by the active colour under every strategy: a release may change from
one to another, and neither Deployments nor the Services' selectors change their names.
*/}}
{{- define "platform.tracks" -}}
{{- $values := .Values -}}
{{- $tracks := list -}}
{{- $main := $values.release.blueGreen.active -}}
{{- if eq $values.release.strategy "blueGreen" -}}
{{- range $colour := list "blue" "green" -}}
{{- $tag := index $values.release.blueGreen $colour -}}
{{- if $tag -}}
{{- $active := eq $colour $main -}}
{{- $tracks = append $tracks (dict "name" $colour "tag" $tag "active" $active "replicas" (ternary dict $values.release.blueGreen.preview $active)) -}}
{{- end -}}
{{- end -}}
{{- else if eq $values.release.strategy "canary" -}}
{{- $tracks = append $tracks (dict "name" $main "tag" $values.image.tag "active" true "replicas" dict) -}}
{{- with $values.release.canary.tag -}}
{{- $tracks = append $tracks (dict "name" "canary" "tag" . "active" false "replicas" $values.release.canary.replicas) -}}
{{- end -}}
{{- else -}}
{{- $tracks = append $tracks (dict "name" $main "tag" $values.image.tag "active" true "replicas" dict) -}}
{{- end -}}
{{ toJson $tracks }}
{{- end -}}

{{/* The tag that migrations are run with: the newest code that is about to run, which is that of the inactive track. */}}
{{- define "platform.newestTag" -}}
{{- $newest := .Values.image.tag -}}
{{- range $track := include "platform.tracks" . | fromJsonArray -}}
{{- if $track.active -}}{{- $newest = $track.tag -}}{{- end -}}
{{- end -}}
{{- range $track := include "platform.tracks" . | fromJsonArray -}}
{{- if not $track.active -}}{{- $newest = $track.tag -}}{{- end -}}
{{- end -}}
{{ .Values.migrations.tag | default $newest }}
{{- end -}}

{{/* The tag that clients' requests go to. */}}
{{- define "platform.activeTag" -}}
{{- range $track := include "platform.tracks" . | fromJsonArray -}}
{{- if $track.active -}}{{ $track.tag | default $.Chart.AppVersion }}{{- end -}}
{{- end -}}
{{- end -}}

{{/* Jobs cannot be changed, so each image and each revision of the release has one: dict "root" $ "tag" … */}}
{{- define "platform.jobSuffix" -}}
{{ include "platform.image" . | sha256sum | trunc 8 }}-{{ .root.Release.Revision }}
{{- end -}}
