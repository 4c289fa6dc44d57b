{{/* What the schema cannot check: values that contradict each other. Each gets one sentence. */}}

{{- define "sizewise.checks" -}}
{{- $limits := .Values.resources.limits | default dict }}{{ $scaling := .Values.autoscaling -}}
{{- if and (eq .Values.device "gpu") (not (index $limits "nvidia.com/gpu")) }}
{{- fail "device is gpu: set resources.limits.\"nvidia.com/gpu\" to the number of GPUs for each pod" }}
{{- end }}
{{- if and (ne .Values.device "gpu") (index $limits "nvidia.com/gpu") }}
{{- fail "resources.limits has nvidia.com/gpu, but device is cpu: set device to gpu, or remove the limit" }}
{{- end }}
{{- if and .Values.ingress.enabled .Values.httpRoute.enabled }}
{{- fail "ingress and httpRoute are both enabled: enable only the one that your cluster supports" }}
{{- end }}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) }}
{{- fail "ingress is enabled without a host: list the host names in ingress.hosts" }}
{{- end }}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) }}
{{- fail "httpRoute is enabled without a gateway: list it in httpRoute.parentRefs" }}
{{- end }}
{{- if and .Values.tracing.enabled (not .Values.tracing.endpoint) }}
{{- fail "tracing is enabled without a collector: set tracing.endpoint to its address" }}
{{- end }}
{{- if $scaling.enabled }}{{ include "sizewise.scalingChecks" $scaling }}{{ end }}
{{- $stop := add .Values.settings.shutdown_delay_ms .Values.settings.drain_ms }}
{{- if le (mul 1000 .Values.terminationGracePeriodSeconds) $stop }}
{{- fail (printf "terminationGracePeriodSeconds is %v: it must exceed the sum of settings.shutdown_delay_ms and settings.drain_ms, which is %v ms" .Values.terminationGracePeriodSeconds $stop) }}
{{- end }}
{{- include "sizewise.modelChecks" . }}
{{- end }}

{{- define "sizewise.scalingChecks" -}}
{{- if not (or .targetQueueSeconds .targetRequestsInFlight) }}
{{- fail "autoscaling is enabled without a target: set autoscaling.targetQueueSeconds, autoscaling.targetRequestsInFlight or both; python -m loadtest recommend computes them" }}
{{- end }}
{{- if gt (int .minReplicas) (int .maxReplicas) }}
{{- fail (printf "autoscaling.minReplicas is %v, which exceeds autoscaling.maxReplicas, %v" .minReplicas .maxReplicas) }}
{{- end }}
{{- if and (eq .kind "hpa") (lt (int .minReplicas) 1) }}
{{- fail "autoscaling.minReplicas is 0, but an HPA cannot scale up from zero: set autoscaling.kind to keda, or minReplicas to 1 or more" }}
{{- end }}
{{- if and (eq .kind "keda") (not .keda.serverAddress) }}
{{- fail "autoscaling.kind is keda: set autoscaling.keda.serverAddress to the address of Prometheus" }}
{{- end }}
{{- if and (eq .kind "keda") (lt (int .minReplicas) 1) (not .keda.activationQuery) }}
{{- fail "autoscaling.minReplicas is 0, and without pods there are no metrics: set autoscaling.keda.activationQuery to the traffic that your ingress measures" }}
{{- end }}
{{- end }}

{{- define "sizewise.modelChecks" -}}
{{- $families := dict }}{{ $urls := 0 }}
{{- range $number, $model := .Values.models }}
{{- $sources := keys (pick $model "image" "pvc" "url") | sortAlpha }}
{{- if ne (len $sources) 1 }}
{{- fail (printf "models[%d] (%s) has %s: set exactly one of image, pvc and url" $number $model.family ($sources | join " and " | default "no source")) }}
{{- end }}
{{- if hasKey $families $model.family }}
{{- fail (printf "models[%d]: the family %s is listed twice" $number $model.family) }}
{{- end }}
{{- $_ := set $families $model.family true }}
{{- if $model.url }}{{ $urls = add1 $urls }}{{ end }}
{{- end }}
{{- if and .Values.networkPolicy.enabled (or $urls .Values.tracing.enabled) (not .Values.networkPolicy.egress) }}
{{- fail "networkPolicy is enabled and allows no outgoing traffic: allow what models with a url, or tracing, must reach in networkPolicy.egress" }}
{{- end }}
{{- end }}
