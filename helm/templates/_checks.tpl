{{/* What the schema cannot say: values that contradict each other, each refused in a sentence. */}}

{{- define "sizewise.checks" -}}
{{- $limits := .Values.resources.limits | default dict }}{{ $scaling := .Values.autoscaling -}}
{{- if and (eq .Values.device "gpu") (not (index $limits "nvidia.com/gpu")) }}
{{- fail "device is gpu: set resources.limits.\"nvidia.com/gpu\" to the number of GPUs of a pod" }}
{{- end }}
{{- if and (ne .Values.device "gpu") (index $limits "nvidia.com/gpu") }}
{{- fail "resources.limits has nvidia.com/gpu and device is cpu: set device to gpu" }}
{{- end }}
{{- if and .Values.ingress.enabled .Values.httpRoute.enabled }}
{{- fail "ingress and httpRoute are both enabled: enable the one that your cluster has" }}
{{- end }}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) }}
{{- fail "ingress is enabled: name its hosts in ingress.hosts" }}
{{- end }}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) }}
{{- fail "httpRoute is enabled: name its gateway in httpRoute.parentRefs" }}
{{- end }}
{{- if and .Values.tracing.enabled (not .Values.tracing.endpoint) }}
{{- fail "tracing is enabled: set tracing.endpoint to the collector's address" }}
{{- end }}
{{- if $scaling.enabled }}{{ include "sizewise.scalingChecks" $scaling }}{{ end }}
{{- $stop := add .Values.settings.shutdown_delay_ms .Values.settings.drain_ms }}
{{- if le (mul 1000 .Values.terminationGracePeriodSeconds) $stop }}
{{- fail (printf "terminationGracePeriodSeconds is %v: it must be longer than settings.shutdown_delay_ms and settings.drain_ms together, %v ms" .Values.terminationGracePeriodSeconds $stop) }}
{{- end }}
{{- include "sizewise.modelChecks" . }}
{{- end }}

{{- define "sizewise.scalingChecks" -}}
{{- if not (or .targetQueueSeconds .targetRequestsInFlight) }}
{{- fail "autoscaling is enabled without a metric: set autoscaling.targetQueueSeconds or autoscaling.targetRequestsInFlight, python -m loadtest recommend writes both" }}
{{- end }}
{{- if gt (int .minReplicas) (int .maxReplicas) }}
{{- fail (printf "autoscaling.minReplicas is %v, above autoscaling.maxReplicas, %v" .minReplicas .maxReplicas) }}
{{- end }}
{{- if and (eq .kind "hpa") (lt (int .minReplicas) 1) }}
{{- fail "autoscaling.minReplicas is 0: an HPA cannot wake a pod, set autoscaling.kind to keda" }}
{{- end }}
{{- if and (eq .kind "keda") (not .keda.serverAddress) }}
{{- fail "autoscaling.kind is keda: set autoscaling.keda.serverAddress to Prometheus" }}
{{- end }}
{{- if and (eq .kind "keda") (lt (int .minReplicas) 1) (not .keda.activationQuery) }}
{{- fail "autoscaling.minReplicas is 0: without pods nobody measures the queue, set autoscaling.keda.activationQuery to the demand that your ingress sees" }}
{{- end }}
{{- end }}

{{- define "sizewise.modelChecks" -}}
{{- $families := dict }}{{ $urls := 0 }}
{{- range $number, $model := .Values.models }}
{{- $sources := keys (pick $model "image" "pvc" "url") | sortAlpha }}
{{- if ne (len $sources) 1 }}
{{- fail (printf "models[%d] (%s) has %s: give exactly one of image, pvc and url" $number $model.family ($sources | join " and " | default "no source")) }}
{{- end }}
{{- if hasKey $families $model.family }}
{{- fail (printf "models[%d]: the family %s is there twice" $number $model.family) }}
{{- end }}
{{- $_ := set $families $model.family true }}
{{- if $model.url }}{{ $urls = add1 $urls }}{{ end }}
{{- end }}
{{- if and .Values.networkPolicy.enabled (or $urls .Values.tracing.enabled) (not .Values.networkPolicy.egress) }}
{{- fail "networkPolicy is enabled and lets nothing out: name what models by url and tracing must reach in networkPolicy.egress" }}
{{- end }}
{{- end }}
