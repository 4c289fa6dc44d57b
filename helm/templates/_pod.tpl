{{/* What a server's pod is made of, beside its main container. */}}

{{/* Pods are replaced when a Secret or the ConfigMap of keys changes that they read at their start alone. Without a cluster to
ask, as in helm template, there are no checksums. */}}
{{- define "sizewise.podAnnotations" -}}
{{- $read := list .Values.apiKey.existingSecret .Values.admin.existingSecret .Values.fetch.secretName .Values.textLog.existingSecret .Values.trustedKeys.existingSecret | compact | uniq }}
{{- $annotations := deepCopy .Values.podAnnotations }}
{{- range $read }}
{{- with lookup "v1" "Secret" $.Release.Namespace . }}
{{- $annotations = set $annotations (printf "checksum/%s" (.metadata.name | trunc 63 | trimSuffix "-")) (toJson .data | sha256sum) }}
{{- end }}
{{- end }}
{{- with .Values.trustedKeys.existingConfigMap }}
{{- with lookup "v1" "ConfigMap" $.Release.Namespace . }}
{{- $annotations = set $annotations (printf "checksum/%s" (.metadata.name | trunc 63 | trimSuffix "-")) (toJson .data | sha256sum) }}
{{- end }}
{{- end }}
{{- with $annotations }}{{ toYaml . }}{{ end }}
{{- end }}

{{- define "sizewise.strategy" -}}
{{- if eq .Values.updateStrategy.type "Recreate" }}
type: Recreate
{{- else }}
{{- toYaml .Values.updateStrategy }}
{{- end }}
{{- end }}

{{- define "sizewise.initContainers" -}}
{{- with .Values.initContainers }}{{ toYaml . }}{{ end }}
{{ include "sizewise.modelContainers" . | trim }}
{{ include "sizewise.familyFiles" . | trim }}
{{- end }}

{{- define "sizewise.sidecars" -}}
{{- if .Values.fetch.everySeconds }}{{ include "sizewise.fetchSidecars" . | trim }}{{ end }}
{{- with .Values.sidecars }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "sizewise.volumeMounts" -}}
{{- include "sizewise.runMounts" . }}
{{- if .Values.callers.existingSecret }}
- {name: callers, mountPath: /etc/sizewise, readOnly: true}
{{- end }}
{{- if .Values.textLog.existingSecret }}
- {name: text-log-keys, mountPath: /etc/sizewise-text-log, readOnly: true}
{{- end }}
{{- with include "sizewise.tuningPath" . }}
- {name: tuning, mountPath: {{ . }}{{ if not $.Values.tuning.hostPath }}, readOnly: true{{ end }}}
{{- end }}
{{- end }}

{{/* What it takes to run bundles, for the server and for the Job that measures them. */}}
{{- define "sizewise.runMounts" -}}
- {name: tmp, mountPath: /tmp}
{{- include "sizewise.keyMount" . }}
{{- include "sizewise.modelMounts" . }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "sizewise.volumes" -}}
{{- include "sizewise.runVolumes" . }}
{{- with .Values.callers.existingSecret }}
- {name: callers, secret: {secretName: {{ . }}}}
{{- end }}
{{- with .Values.textLog.existingSecret }}
- {name: text-log-keys, secret: {secretName: {{ . }}}}
{{- end }}
{{- with .Values.tuning.hostPath }}
# It must exist: if kubelet created it, root would own it.
- {name: tuning, hostPath: {path: {{ . }}, type: Directory}}
{{- end }}
{{- with include "sizewise.tuningConfigMap" . }}
- {name: tuning, configMap: {name: {{ . }}}}
{{- end }}
{{- end }}

{{- define "sizewise.runVolumes" -}}
- name: tmp
  emptyDir: {}
{{- with .Values.trustedKeys.existingSecret }}
- {name: trusted-keys, secret: {secretName: {{ . }}}}
{{- end }}
{{- with .Values.trustedKeys.existingConfigMap }}
- {name: trusted-keys, configMap: {name: {{ . }}}}
{{- end }}
{{- include "sizewise.modelVolumes" . }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Where the tuning files are; nothing if none are kept. */}}
{{- define "sizewise.tuningPath" -}}
{{- if or .Values.tuning.hostPath (include "sizewise.tuningConfigMap" .) }}/var/lib/sizewise-tuning{{ end }}
{{- end }}

{{/* The ConfigMap that pods share them in; nothing if there is none. */}}
{{- define "sizewise.tuningConfigMap" -}}
{{- .Values.tuning.job.enabled | ternary (printf "%s-tuning" (include "sizewise.fullname" .)) .Values.tuning.existingConfigMap }}
{{- end }}

{{/* (list root nodeSelector): where pods may run. */}}
{{- define "sizewise.placement" -}}
{{- $values := set (pick (first .).Values "tolerations" "affinity") "nodeSelector" (last .) }}
{{- range $name := list "nodeSelector" "tolerations" "affinity" }}
{{- with index $values $name }}
{{ $name }}: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- range $name := list "priorityClassName" "runtimeClassName" }}
{{- with index (first $).Values $name }}
{{ $name }}: {{ . }}
{{- end }}
{{- end }}
{{- end }}
