{{- define "signet.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 40 | trimSuffix "-" }}
{{- end }}

{{/* 40 characters, so that a label with the longest suffix has at most 63. */}}
{{- define "signet.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains (include "signet.name" .) .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "signet.name" .) | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "signet.controllerName" -}}
{{ include "signet.fullname" . }}-controller
{{- end }}

{{/* A CronJob's name has at most 52 characters. */}}
{{- define "signet.backupName" -}}
{{ include "signet.fullname" . }}-backup
{{- end }}

{{- define "signet.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- .Values.serviceAccount.name | default (include "signet.controllerName" .) }}
{{- else }}
{{- required "serviceAccount.name is needed where serviceAccount.create is false" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "signet.image" -}}
{{- $image := .Values.image }}
{{- $name := printf "%s/%s" $image.registry $image.repository }}
{{- if $image.digest }}{{ $name }}@{{ $image.digest }}
{{- else }}{{ $name }}:{{ $image.tag | default .Chart.AppVersion }}
{{- end }}
{{- end }}

{{/* Names of pull Secrets as a pod lists them. */}}
{{- define "signet.pullSecrets" -}}
{{- range . }}
- name: {{ . | quote }}
{{- end }}
{{- end }}

{{- define "signet.selectorLabels" -}}
app.kubernetes.io/name: {{ include "signet.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: controller
{{- end }}

{{/*
The metadata of an object: root, name; optional: namespace, component, labels, annotations. Settings of one
object override common ones, and the chart's own labels override both.
*/}}
{{- define "signet.metadata" -}}
{{- $root := .root }}
{{- $own := fromYaml (include "signet.selectorLabels" $root) }}
{{- with .component }}
{{- $_ := set $own "app.kubernetes.io/component" . }}
{{- end }}
{{- $_ := set $own "app.kubernetes.io/version" $root.Chart.AppVersion }}
{{- $_ := set $own "app.kubernetes.io/managed-by" $root.Release.Service }}
{{- $_ := set $own "helm.sh/chart" (printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-") -}}
name: {{ .name | quote }}
{{- with .namespace }}
namespace: {{ . | quote }}
{{- end }}
labels:
  {{- merge $own (.labels | default dict) $root.Values.commonLabels | toYaml | nindent 2 }}
{{- with merge (dict) (.annotations | default dict) $root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The metadata of a pod: root, component, labels, annotations. */}}
{{- define "signet.podMetadata" -}}
{{- $own := fromYaml (include "signet.selectorLabels" .root) }}
{{- $_ := set $own "app.kubernetes.io/component" .component -}}
labels:
  {{- merge $own (.labels | default dict) .root.Values.commonLabels | toYaml | nindent 2 }}
{{- with merge (dict) (.annotations | default dict) .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The name of the controller's service account. */}}
{{- define "signet.userName" -}}
system:serviceaccount:{{ .Release.Namespace }}:{{ include "signet.serviceAccountName" . }}
{{- end }}

{{/* The controller's account, as a subject of a binding. */}}
{{- define "signet.subjects" -}}
- kind: ServiceAccount
  name: {{ include "signet.serviceAccountName" . | quote }}
  namespace: {{ .Release.Namespace | quote }}
{{- end }}

{{/*
The permissions for reconciling SealedSecrets, in one namespace or in all. The sealing keys need no others:
they are Secrets in the release's namespace, which is always included.
*/}}
{{- define "signet.reconcileRules" -}}
- apiGroups: [bitnami.com]
  resources: [sealedsecrets]
  verbs: [list, watch]
- apiGroups: [bitnami.com]
  resources: [sealedsecrets/status]
  verbs: [update]
# The controller deletes only a Secret that someone put in place of its own with another type, which
# no update can change. Garbage collection deletes a Secret with the SealedSecret that owns it.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch, create, update, delete]
- apiGroups: [""]
  resources: [events]
  verbs: [create]
{{- if .Values.restarts.enabled }}
# Restarts of workloads: which ones ask for them, what they reference, and how far they are.
- apiGroups: [apps]
  resources: [deployments, statefulsets, daemonsets]
  verbs: [get, list, watch, patch]
- apiGroups: [argoproj.io]
  resources: [rollouts]
  verbs: [get, list, watch, patch]
{{- end }}
{{- end }}

{{/* Clients use the Service's port by this name, and take the protocol from it. */}}
{{- define "signet.portName" -}}
{{ if .Values.tls.secretName }}https{{ else }}http{{ end }}
{{- end }}

{{/* The ConfigMap of the published certificates. */}}
{{- define "signet.publishedName" -}}
{{ .Values.publishedCertificates.name | default (printf "%s-certificates" .Values.service.name) }}
{{- end }}

{{- define "signet.publishedNamespace" -}}
{{ .Values.publishedCertificates.namespace | default .Release.Namespace }}
{{- end }}
