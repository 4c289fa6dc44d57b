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
  {{- include "sizewise.image" (list $ $.Values.fetch.image "-fetch") | nindent 2 }}
  {{- $words := list "python" "-m" "serving" "fetch" $model.url "--to" (printf "/registry/%s" $model.family) }}
  {{- /* A family need not have every variant, so with several families all variants are fetched. */}}
  {{- if and $.Values.variants (eq (len $.Values.models) 1) }}
  {{- $words = append $words (join "," $.Values.variants | printf "--variants=%s") }}
  {{- end }}
  {{- if $.Values.fetch.nodeCache.enabled }}{{ $words = append $words "--cache=/cache" }}{{ end }}
  command: {{ toJson $words }}
  {{- with $.Values.fetch.secretName }}
  envFrom:
    - secretRef: {name: {{ . }}}
  {{- end }}
  {{- end }}
  resources: {{- toYaml $.Values.fetch.resources | nindent 4 }}
  securityContext: {{- include "sizewise.containerSecurity" $ | nindent 4 }}
  volumeMounts:
    - {name: registry, mountPath: /registry}
    - {name: tmp, mountPath: /tmp}
    {{- if and $model.url $.Values.fetch.nodeCache.enabled }}
    - {name: cache, mountPath: /cache}
    {{- end }}
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
