{{/* The flags of the key service. */}}
{{- define "signet.kmsFlags" -}}
{{- with .Values.sealingKeys.kms -}}
{{- if .provider }}
- --kms-provider={{ .provider }}
- --kms-mode={{ .mode }}
{{- if .backupVerified }}
- --kms-backup-verified
{{- else if and (eq .mode "wrap") (not $.Values.recovery.recipients) }}
{{- fail "sealingKeys.kms wraps keys: name recovery.recipients, or make a backup of the sealing keys, try it, and set sealingKeys.kms.backupVerified" }}
{{- end }}
{{- if eq .provider "kmsv2" }}
{{- if not .plugin }}
{{- fail "sealingKeys.kms.plugin is required for kmsv2" }}
{{- end }}
- --kms-socket=/run/kms/kms.sock
{{- else }}
- {{ printf "--kms-key=%s" (required "sealingKeys.kms.key is required" .key) | quote }}
{{- end }}
{{- if eq .provider "aws" }}
{{- with .region }}
- --kms-region={{ . }}
{{- end }}
{{- end }}
{{- if eq .provider "transit" }}
- {{ printf "--kms-address=%s" (required "sealingKeys.kms.address is required for transit" .address) | quote }}
{{- with .transit }}
- --kms-transit-mount={{ .mount }}
- --kms-transit-login={{ .login }}
{{- with .namespace }}
- --kms-transit-namespace={{ . }}
{{- end }}
{{- with .loginMount }}
- --kms-transit-login-mount={{ . }}
{{- end }}
{{- if ne .login "token" }}
- {{ printf "--kms-transit-role=%s" (required "sealingKeys.kms.transit.role is required" .role) | quote }}
{{- end }}
{{- if ne .login "kubernetes" }}
{{- $_ := required "sealingKeys.kms.transit.credentialSecret is required for approle and token" .credentialSecret }}
- --kms-transit-login-file=/etc/signet/kms/credential
{{- end }}
{{- if .caConfigMap }}
- --kms-ca-file=/etc/signet/kms-ca/ca.crt
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* The plugin's container. */}}
{{- define "signet.kmsPlugin" -}}
{{- if eq .Values.sealingKeys.kms.provider "kmsv2" }}
{{- $mounts := append (.Values.sealingKeys.kms.plugin.volumeMounts | default list) (dict "name" "kms" "mountPath" "/run/kms") }}
{{- list (merge (dict "volumeMounts" $mounts) .Values.sealingKeys.kms.plugin) | toYaml }}
{{- end }}
{{- end }}

{{/* The mounts of the controller's container. */}}
{{- define "signet.volumeMounts" -}}
{{- if .Values.tls.secretName }}
- name: tls
  mountPath: /etc/signet/tls
  readOnly: true
{{- end }}
{{- with .Values.sealingKeys.kms }}
{{- if eq .provider "kmsv2" }}
- name: kms
  mountPath: /run/kms
{{- end }}
{{- if and (eq .provider "transit") (ne .transit.login "kubernetes") }}
- name: kms-credential
  mountPath: /etc/signet/kms
  readOnly: true
{{- end }}
{{- if and (eq .provider "transit") .transit.caConfigMap }}
- name: kms-ca
  mountPath: /etc/signet/kms-ca
  readOnly: true
{{- end }}
{{- end }}
{{- end }}

{{/* The volumes for these mounts. */}}
{{- define "signet.volumes" -}}
{{- if .Values.tls.secretName }}
- name: tls
  secret:
    secretName: {{ .Values.tls.secretName | quote }}
{{- end }}
{{- with .Values.sealingKeys.kms }}
{{- if eq .provider "kmsv2" }}
- name: kms
  emptyDir: {}
{{- end }}
{{- if and (eq .provider "transit") (ne .transit.login "kubernetes") }}
- name: kms-credential
  secret:
    secretName: {{ .transit.credentialSecret | quote }}
{{- end }}
{{- if and (eq .provider "transit") .transit.caConfigMap }}
- name: kms-ca
  configMap:
    name: {{ .transit.caConfigMap | quote }}
{{- end }}
{{- end }}
{{- end }}
