{{/* What a server's pod is made of, beside its main container. */}}

{{/* Pods are replaced when a Secret or the ConfigMap of keys changes that they read at their start alone. Without a cluster to
ask, as in helm template, there are no checksums. */}}
{{- define "sizewise.podAnnotations" -}}
{{- $read := list .Values.apiKey.existingSecret .Values.admin.existingSecret .Values.fetch.secretName .Values.trustedKeys.existingSecret | compact | uniq }}
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
- {name: tmp, mountPath: /tmp}
{{- if .Values.callers.existingSecret }}
- {name: callers, mountPath: /etc/sizewise, readOnly: true}
{{- end }}
{{- include "sizewise.keyMount" . }}
{{- with include "sizewise.tuningPath" . }}
- {name: tuning, mountPath: {{ . }}{{ if $.Values.tuning.existingConfigMap }}, readOnly: true{{ end }}}
{{- end }}
{{- include "sizewise.modelMounts" . }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "sizewise.volumes" -}}
- name: tmp
  emptyDir: {}
{{- with .Values.callers.existingSecret }}
- {name: callers, secret: {secretName: {{ . }}}}
{{- end }}
{{- with .Values.trustedKeys.existingSecret }}
- {name: trusted-keys, secret: {secretName: {{ . }}}}
{{- end }}
{{- with .Values.trustedKeys.existingConfigMap }}
- {name: trusted-keys, configMap: {name: {{ . }}}}
{{- end }}
{{- with .Values.tuning.hostPath }}
# It must exist: if kubelet created it, root would own it.
- {name: tuning, hostPath: {path: {{ . }}, type: Directory}}
{{- end }}
{{- with .Values.tuning.existingConfigMap }}
- {name: tuning, configMap: {name: {{ . }}}}
{{- end }}
{{- include "sizewise.modelVolumes" . }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Where the tuning files are; nothing if none are kept. */}}
{{- define "sizewise.tuningPath" -}}
{{- if or .Values.tuning.hostPath .Values.tuning.existingConfigMap }}/var/lib/sizewise-tuning{{ end }}
{{- end }}
