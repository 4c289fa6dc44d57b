{{/* How the families get into a pod: each at /registry/FAMILY, read-only for the server. */}}

{{- define "sizewise.modelContainers" -}}
{{- range $number, $model := .Values.models }}
{{- if not $model.pvc }}
- name: model-{{ $number }}
  {{- if $model.image }}
  image: {{ $model.image.reference | quote }}
  imagePullPolicy: {{ $.Values.image.pullPolicy }}
  command: [cp, -R, {{ printf "%s/." (trimSuffix "/" $model.image.path) | quote }}, /registry/{{ $model.family }}]
  {{- else }}
  {{- include "sizewise.fetcher" (list $ $model) | nindent 2 }}
  {{- end }}
  {{- include "sizewise.fetchRights" (list $ $model) | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}

{{/* Beside the server: what is published at the URL goes live in running pods. */}}
{{- define "sizewise.fetchSidecars" -}}
{{- range $number, $model := .Values.models }}
{{- if $model.url }}
- name: fetch-{{ $number }}
  {{- include "sizewise.fetcher" (list $ $model (printf "--every-s=%v" $.Values.fetch.everySeconds)) | nindent 2 }}
  {{- include "sizewise.fetchRights" (list $ $model) | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}

{{/* The traffic.json and policy.json of the values, written beside the bundles. A change of them changes
the pods, which are replaced. */}}
{{- define "sizewise.familyFiles" -}}
{{- $files := dict }}
{{- range $model := .Values.models }}
{{- range $name := list "traffic" "policy" }}
{{- if hasKey $model $name }}
{{- $_ := set $files (printf "/registry/%s/%s.json" $model.family $name) (index $model $name) }}
{{- end }}
{{- end }}
{{- end }}
{{- if $files }}
- name: family-files
  {{- include "sizewise.image" (list . (omit .Values.image "tag") (eq .Values.device "gpu" | ternary "-gpu" "")) | nindent 2 }}
  command: [python, -c]
  args:
    - |
      import json, pathlib, sys
      for path, content in json.loads(sys.argv[1]).items():
          pathlib.Path(path).unlink(missing_ok=True)  # a copy of one that is read-only
          pathlib.Path(path).write_text(json.dumps(content))
    - {{ toJson $files | quote }}
  resources: {{- toYaml .Values.fetch.resources | nindent 4 }}
  securityContext: {{- toYaml .Values.securityContext | nindent 4 }}
  volumeMounts:
    - {name: registry, mountPath: /registry}
{{- end }}
{{- end }}

{{/* (list root model argument...): the image, command and credentials that fetch a family. */}}
{{- define "sizewise.fetcher" -}}
{{- $ := index . 0 }}{{ $model := index . 1 }}
{{- include "sizewise.image" (list $ $.Values.fetch.image "-fetch") }}
  {{- $words := list "python" "-m" "serving" "fetch" $model.url "--to" (printf "/registry/%s" $model.family) }}
  {{- /* A family need not have every variant, so with several families all variants are fetched. */}}
  {{- if and $.Values.variants (eq (len $.Values.models) 1) }}
  {{- $words = append $words (join "," $.Values.variants | printf "--variants=%s") }}
  {{- end }}
  {{- if $.Values.fetch.nodeCache.enabled }}{{ $words = append $words "--cache=/cache" }}{{ end }}
command: {{ concat $words (slice . 2) | toJson }}
{{- if or (include "sizewise.keyVariable" $ | trim) $.Values.extraEnv }}
env:
  {{- include "sizewise.keyVariable" $ | trim | nindent 2 }}
  {{- with $.Values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- if or $.Values.fetch.secretName $.Values.extraEnvFrom }}
envFrom:
  {{- with $.Values.extraEnvFrom }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- with $.Values.fetch.secretName }}
  - secretRef: {name: {{ . }}}
  {{- end }}
{{- end }}
{{- end }}

{{/* (list root model) */}}
{{- define "sizewise.fetchRights" -}}
{{- $ := index . 0 }}{{ $model := index . 1 -}}
resources: {{- toYaml $.Values.fetch.resources | nindent 2 }}
securityContext: {{- toYaml $.Values.securityContext | nindent 2 }}
volumeMounts:
  - {name: registry, mountPath: /registry}
  - {name: tmp, mountPath: /tmp}
  {{- if and $model.url $.Values.fetch.nodeCache.enabled }}
  - {name: cache, mountPath: /cache}
  {{- end }}
  {{- if $model.url }}
  {{- with include "sizewise.keyMount" $ | trim }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- with $.Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- end }}
{{- end }}

{{/* Each family is a mount of its own, because a claim cannot be mounted inside a read-only volume. */}}
{{- define "sizewise.modelMounts" -}}
{{- range $number, $model := .Values.models }}
- mountPath: /registry/{{ $model.family }}
  readOnly: true
  {{- if $model.pvc }}
  name: model-{{ $number }}
  {{- with $model.pvc.subPath }}
  subPath: {{ . }}
  {{- end }}
  {{- else }}
  name: registry
  subPath: {{ $model.family }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "sizewise.modelVolumes" -}}
{{- if .Values.models }}
- name: registry
  emptyDir: {}
{{- end }}
{{- range $number, $model := .Values.models }}
{{- with $model.pvc }}
- name: model-{{ $number }}
  persistentVolumeClaim: {claimName: {{ .claimName }}, readOnly: true}
{{- end }}
{{- end }}
{{- if .Values.fetch.nodeCache.enabled }}
- name: cache
  # It must exist: if kubelet created it, root would own it.
  hostPath: {path: {{ .Values.fetch.nodeCache.hostPath }}, type: Directory}
{{- end }}
{{- end }}

{{/* The public keys, for what fetches bundles and what serves them. */}}
{{- define "sizewise.keyMount" }}
{{- if or .Values.trustedKeys.existingSecret .Values.trustedKeys.existingConfigMap }}
- {name: trusted-keys, mountPath: /etc/sizewise-keys, readOnly: true}
{{- end }}
{{- end }}

{{- define "sizewise.keyVariable" }}
{{- if or .Values.trustedKeys.existingSecret .Values.trustedKeys.existingConfigMap }}
- {name: SIZEWISE_TRUSTED_KEYS, value: /etc/sizewise-keys}
{{- end }}
{{- end }}
