{{/*
The policies, each as the rule that a request must satisfy, in CEL: the same text for every engine. Exceptions
are checked in this order: where, who, what, and what changed.
*/}}
{{- define "signet.policies" -}}
{{- with .Values.policies.plaintextSecrets }}
{{- if .refuse }}
{{- if $.Values.namespaceSelector }}
{{- fail "policies.plaintextSecrets.refuse must be false with a namespaceSelector: Secrets would be refused where no SealedSecret is served" }}
{{- end }}
- name: plaintext-secrets
  apiGroup: ""
  apiVersion: v1
  kind: Secret
  resource: secrets
  variables:
    - name: managers
      expression: {{ concat (list (include "signet.userName" $)) (.managers | default list) | uniq | toJson | quote }}
    - name: byManager
      expression: >-
        request.userInfo.username in variables.managers ||
        request.userInfo.?groups.orValue([]).exists(group, group in variables.managers)
    - name: leavesData
      expression: >-
        request.operation == "UPDATE" && object.type == oldObject.type &&
        object.?data.orValue({}) == oldObject.?data.orValue({})
  expression: >-
    {{- include "signet.elsewhere" $ | nindent 4 }}
    object.metadata.namespace in {{ append (.namespaces | default list) $.Release.Namespace | uniq | toJson }} ||
    object.type in {{ .types | default list | toJson }} ||
    variables.byManager || variables.leavesData
  message: "Secrets are made from SealedSecrets here: seal it, and apply that instead"
{{- end }}
{{- end }}
{{- with .Values.policies.scopes }}
{{- if .refuse }}
- name: scopes
  apiGroup: bitnami.com
  apiVersion: v1alpha1
  kind: SealedSecret
  resource: sealedsecrets
  variables:
    - name: scopes
      expression: '["strict", "namespace-wide", "selector", "cluster-wide"]'
    - name: scope
      expression: >-
        {{- include "signet.scopeOf" "object" | nindent 8 }}
    - name: widest
      expression: >-
        {{- if eq $.Values.policies.engine "Gatekeeper" }}
        variables.params.widest
        {{- else }}
        namespaceObject.metadata.?labels[?"kube-signet/widest-scope"].orValue({{ .widest | quote }})
        {{- end }}
    - name: leavesScope
      expression: >-
        {{- include "signet.leavesValues" . | nindent 8 }} && variables.scope ==
        {{- include "signet.scopeOf" "oldObject" | nindent 8 }}
  expression: >-
    {{- include "signet.elsewhere" $ | nindent 4 }}
    variables.scope == "strict" || variables.leavesScope ||
    variables.scopes.indexOf(variables.scope) <= variables.scopes.indexOf(variables.widest)
  message: this SealedSecret is of a wider scope than the namespace allows by its label kube-signet/widest-scope
  messageExpression: >-
    "this SealedSecret is " + variables.scope + ", and the namespace allows " + variables.widest +
    " at most (its label kube-signet/widest-scope): re-seal the values for a narrower scope"
  constraints:
    {{- include "signet.scopeConstraints" .widest | nindent 4 }}
{{- end }}
{{- end }}
{{- with .Values.policies.minimumKeyBits }}
- name: key-size
  apiGroup: bitnami.com
  apiVersion: v1alpha1
  kind: SealedSecret
  resource: sealedsecrets
  variables:
    - name: values
      expression: >-
        {{- include "signet.valuesOf" . | nindent 8 }}
    - name: digits
      expression: '"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"'
    # A value begins with the length of the RSA key's modulus in bytes, as two bytes in base64.
    # SPEC.md, "Envelope". By this rule a post-quantum value has 125,032 bits, and passes.
    - name: tooShort
      expression: >-
        variables.values.filter(item, size(variables.values[item]) < 3 || 8 * (
        variables.digits.indexOf(variables.values[item].charAt(0)) * 1024 +
        variables.digits.indexOf(variables.values[item].charAt(1)) * 16 +
        variables.digits.indexOf(variables.values[item].charAt(2)) / 4) < {{ . }})
    - name: leavesValues
      expression: >-
        {{- include "signet.leavesValues" . | nindent 8 }}
  expression: >-
    {{- include "signet.elsewhere" $ | nindent 4 }}
    variables.leavesValues || size(variables.tooShort) == 0
  message: sealed under an RSA key of fewer than {{ . }} bits
  # Messages are bounded: for many items, the message gives only their number.
  messageExpression: >-
    "sealed under an RSA key of fewer than {{ . }} bits: " + (size(variables.tooShort) > 20
    ? string(size(variables.tooShort)) + " items" : variables.tooShort.join(", "))
{{- end }}
{{- with .Values.policies.hybrid }}
{{- if .require }}
- name: hybrid
  apiGroup: bitnami.com
  apiVersion: v1alpha1
  kind: SealedSecret
  resource: sealedsecrets
  variables:
    - name: values
      expression: >-
        {{- include "signet.valuesOf" . | nindent 8 }}
    # Every post-quantum value begins with this, and no value under a real RSA key does. SPEC.md,
    # "Hybrid envelopes".
    - name: notHybrid
      expression: variables.values.filter(item, !variables.values[item].startsWith("PQ1"))
    - name: leavesValues
      expression: >-
        {{- include "signet.leavesValues" . | nindent 8 }}
  expression: >-
    {{- include "signet.elsewhere" $ | nindent 4 }}
    {{- with .namespaces }}
    !(object.metadata.namespace in {{ . | uniq | toJson }}) ||
    {{- end }}
    variables.leavesValues || size(variables.notHybrid) == 0
  message: sealed with RSA, and must be hybrid
  messageExpression: >-
    "sealed with RSA, and must be hybrid: " + (size(variables.notHybrid) > 20
    ? string(size(variables.notHybrid)) + " items" : variables.notHybrid.join(", "))
{{- end }}
{{- end }}
{{- end }}

{{/* The values of a SealedSecret by item, in CEL. */}}
{{- define "signet.valuesOf" -}}
object.spec.?encryptedData.orValue({}) != {} ? object.spec.encryptedData :
object.spec.?data.orValue(null) != null ? {"spec.data": object.spec.data} : {}
{{- end }}

{{/* If the controller serves only some namespaces, the policies ignore the others. In CEL. */}}
{{- define "signet.elsewhere" -}}
{{- with .Values.namespaces }}
!(object.metadata.namespace in {{ append . $.Release.Namespace | uniq | toJson }}) ||
{{- end }}
{{- end }}

{{/* An update of a SealedSecret that changes none of its values, in CEL. */}}
{{- define "signet.leavesValues" -}}
request.operation == "UPDATE" && object.spec.?encryptedData == oldObject.spec.?encryptedData &&
object.spec.?data == oldObject.spec.?data
{{- end }}

{{/* The scope that a SealedSecret requests, in CEL. SPEC.md, "Scopes". */}}
{{- define "signet.scopeOf" -}}
({{ . }}.metadata.?annotations[?"sealedsecrets.bitnami.com/cluster-wide"].orValue("") == "true"
? "cluster-wide"
: {{ . }}.metadata.?annotations[?"kube-signet/namespace-selector"].orValue("") != ""
? "selector"
: {{ . }}.metadata.?annotations[?"sealedsecrets.bitnami.com/namespace-wide"].orValue("") == "true"
? "namespace-wide" : "strict")
{{- end }}

{{/*
The widest scope by the namespace's label, for an engine that selects namespaces but does not see them. A
misspelled label allows only the narrowest.
*/}}
{{- define "signet.scopeConstraints" -}}
{{- $label := "kube-signet/widest-scope" -}}
- suffix: namespace-wide
  parameters: {widest: namespace-wide}
  namespaceSelector:
    matchLabels: { {{- $label }}: namespace-wide}
- suffix: selector
  parameters: {widest: selector}
  namespaceSelector:
    matchLabels: { {{- $label }}: selector}
- suffix: strict
  parameters: {widest: strict}
  namespaceSelector:
    matchExpressions:
      - {key: {{ $label }}, operator: Exists}
      - {key: {{ $label }}, operator: NotIn, values: [namespace-wide, selector, cluster-wide]}
{{- if ne . "cluster-wide" }}
- suffix: default
  parameters: {widest: {{ . }}}
  namespaceSelector:
    matchExpressions:
      - {key: {{ $label }}, operator: DoesNotExist}
{{- end }}
{{- end }}

{{/* `message` is used if its expression fails. */}}
{{- define "signet.validation" -}}
expression: {{ .expression | trim | quote }}
message: {{ .message | quote }}
{{- with .messageExpression }}
messageExpression: {{ . | quote }}
{{- end }}
{{- end }}

{{/* The parts of a policy that Kubernetes' and Kyverno's forms share. */}}
{{- define "signet.policySpec" -}}
failurePolicy: Fail
matchConstraints:
  resourceRules:
    - apiGroups: [{{ .apiGroup | quote }}]
      apiVersions: [{{ .apiVersion }}]
      operations: [CREATE, UPDATE]
      resources: [{{ .resource }}]
variables:
  {{- toYaml .variables | nindent 2 }}
validations:
  - {{ include "signet.validation" . | nindent 4 | trim }}
    reason: Forbidden
{{- end }}

{{- define "signet.validationActions" -}}
{{ get (dict "Deny" (list "Deny") "Warn" (list "Warn" "Audit") "Audit" (list "Audit")) .Values.policies.action | toJson }}
{{- end }}

{{- define "signet.policyName" -}}
{{ include "signet.fullname" .root }}-{{ .name }}
{{- end }}
