{{/* Names, labels and images. */}}

{{/* At most 40 characters, which leaves room for the suffixes of Deployments and Jobs. */}}
{{- define "sizewise.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $both := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) -}}
{{- default $both .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- end }}

{{/* The labels that all objects and pods of the release share. */}}
{{- define "sizewise.instanceLabels" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Select the pods that serve, and no others. */}}
{{- define "sizewise.selectorLabels" -}}
{{ include "sizewise.instanceLabels" . }}
app.kubernetes.io/component: server
{{- end }}

{{- define "sizewise.labels" -}}
{{ include "sizewise.instanceLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "sizewise.serviceAccountName" -}}
{{- $own := .Values.serviceAccount.create | ternary (include "sizewise.fullname" .) "default" -}}
{{- default $own .Values.serviceAccount.name -}}
{{- end }}

{{/* (list root image suffix): image and pull policy of a container. */}}
{{- define "sizewise.image" -}}
{{- $root := index . 0 }}{{ $image := index . 1 }}
{{- $tag := printf "%s%s" (default $root.Chart.AppVersion $root.Values.image.tag) (index . 2) }}
{{- $version := empty $image.digest | ternary (printf ":%s" (default $tag $image.tag)) (printf "@%s" $image.digest) -}}
image: {{ printf "%s%s" (default $root.Values.image.repository $image.repository) $version | quote }}
imagePullPolicy: {{ $image.pullPolicy }}
{{- end }}

{{- define "sizewise.apiKeyEnv" -}}
- name: SIZEWISE_API_KEY
  valueFrom: {secretKeyRef: {name: {{ .Values.apiKey.existingSecret }}, key: {{ .Values.apiKey.key }}}}
{{- end }}

{{/* What the test pod and the load test send: the one key, or that of a caller. */}}
{{- define "sizewise.testKeyEnv" -}}
{{- if .Values.tests.existingSecret }}
- name: SIZEWISE_API_KEY
  valueFrom: {secretKeyRef: {name: {{ .Values.tests.existingSecret }}, key: {{ .Values.tests.key }}}}
{{- else if .Values.apiKey.existingSecret }}
{{ include "sizewise.apiKeyEnv" . }}
{{- end }}
{{- end }}

{{/* What decides how bundles run, for the server and for the Job that measures them; settings are integers or strings. */}}
{{- define "sizewise.runEnv" -}}
{{- range $name, $value := .Values.settings }}
- name: SIZEWISE_{{ upper $name }}
  value: {{ or (kindIs "string" $value) (ne (float64 $value) (floor $value)) | ternary $value (int64 $value) | toString | quote }}
{{- end }}
{{- if .Values.models }}
- {name: SIZEWISE_REGISTRY, value: /registry}
{{- end }}
{{- with .Values.variants }}
- {name: SIZEWISE_VARIANTS, value: {{ join "," . | quote }}}
{{- end }}
{{- if eq .Values.device "gpu" }}
- {name: SIZEWISE_DEVICE, value: cuda}
{{- end }}
{{- $cpus := dict "limits" dict "requests" dict | merge (.Values.resources | deepCopy) }}
{{- if and $cpus.requests.cpu (not $cpus.limits.cpu) (not (hasKey .Values.settings "threads")) }}
# Without a limit the server sees all of the node's cores.
- name: SIZEWISE_THREADS
  valueFrom: {resourceFieldRef: {resource: requests.cpu}}
{{- end }}
{{- include "sizewise.keyVariable" . }}
{{- end }}

{{/* The server's environment. */}}
{{- define "sizewise.env" -}}
{{- include "sizewise.runEnv" . }}
{{- if .Values.tracing.enabled }}
- {name: SIZEWISE_TRACE_ENDPOINT, value: {{ .Values.tracing.endpoint | quote }}}
{{- end }}
{{- if .Values.apiKey.existingSecret }}
{{ include "sizewise.apiKeyEnv" . }}
{{- end }}
{{- if .Values.grpc.enabled }}
- {name: SIZEWISE_GRPC_PORT, value: {{ .Values.grpc.port | quote }}}
{{- end }}
{{- with .Values.admin }}
{{- if .existingSecret }}
- {name: SIZEWISE_ADMIN_PORT, value: {{ .port | quote }}}
- name: SIZEWISE_ADMIN_KEY
  valueFrom: {secretKeyRef: {name: {{ .existingSecret }}, key: {{ .key }}}}
{{- end }}
{{- end }}
{{- if .Values.callers.existingSecret }}
- {name: SIZEWISE_CALLERS, value: {{ printf "/etc/sizewise/%s" .Values.callers.key }}}
{{- end }}
{{- if .Values.textLog.existingSecret }}
- {name: SIZEWISE_TEXT_LOG_KEYS, value: {{ printf "/etc/sizewise-text-log/%s" .Values.textLog.key }}}
{{- end }}
- {name: SIZEWISE_TUNING, value: {{ include "sizewise.tuningPath" . | quote }}}
{{- end }}
