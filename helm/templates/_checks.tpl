{{/* What the schema cannot check: values that contradict each other. Each gets one sentence. */}}

{{- define "sizewise.checks" -}}
{{- include "sizewise.valueChecks" . }}
{{- $limits := .Values.resources.limits | default dict }}{{ $scaling := .Values.autoscaling -}}
{{- /* Whole GPUs, MIG slices (nvidia.com/mig-1g.5gb) and shared ones (nvidia.com/gpu.shared). */}}
{{- $gpus := list }}
{{- range $name, $count := $limits }}
{{- if and (hasPrefix "nvidia.com/" $name) (ne (toString $count) "0") }}{{ $gpus = append $gpus $name }}{{ end }}
{{- end }}
{{- if and (eq .Values.device "gpu") (not $gpus) (not .Values.resources.claims) }}
{{- fail "device is gpu: set resources.limits.\"nvidia.com/gpu\" to the number of GPUs for each pod, or another nvidia.com resource, such as a MIG slice" }}
{{- end }}
{{- if and (ne .Values.device "gpu") $gpus }}
{{- fail (printf "resources.limits has %s, but device is cpu: set device to gpu, or remove the limit" (first $gpus)) }}
{{- end }}
{{- if and .Values.ingress.enabled .Values.httpRoute.enabled }}
{{- fail "ingress and httpRoute are both enabled: enable only the one that your cluster supports" }}
{{- end }}
{{- if and .Values.trustedKeys.existingSecret .Values.trustedKeys.existingConfigMap }}
{{- fail "trustedKeys.existingSecret and trustedKeys.existingConfigMap are both set: keep one of them" }}
{{- end }}
{{- $places := list (list "tuning.hostPath" .Values.tuning.hostPath) (list "tuning.existingConfigMap" .Values.tuning.existingConfigMap) (list "tuning.job.enabled" .Values.tuning.job.enabled) }}
{{- $named := list }}{{ range $places }}{{ if last . }}{{ $named = append $named (first .) }}{{ end }}{{ end }}
{{- if gt (len $named) 1 }}
{{- fail (printf "%s are both set: keep one of them" (slice $named 0 2 | join " and ")) }}
{{- end }}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) }}
{{- fail "ingress is enabled without a host: list the host names in ingress.hosts" }}
{{- end }}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) }}
{{- fail "httpRoute is enabled without a gateway: list it in httpRoute.parentRefs" }}
{{- end }}
{{- if and .Values.grpcRoute.enabled (not .Values.grpcRoute.parentRefs) }}
{{- fail "grpcRoute is enabled without a gateway: list it in grpcRoute.parentRefs" }}
{{- end }}
{{- if and (or .Values.grpcRoute.enabled .Values.ingress.grpc.hosts) (not .Values.grpc.enabled) }}
{{- fail "grpcRoute or ingress.grpc.hosts is set, but the server has no gRPC: set grpc.enabled to true" }}
{{- end }}
{{- if and .Values.ingress.grpc.hosts (not .Values.ingress.enabled) }}
{{- fail "ingress.grpc.hosts is set, but ingress is disabled: set ingress.enabled to true" }}
{{- end }}
{{- if and .Values.tracing.enabled (not .Values.tracing.endpoint) }}
{{- fail "tracing is enabled without a collector: set tracing.endpoint to its address" }}
{{- end }}
{{- if $scaling.enabled }}{{ include "sizewise.scalingChecks" $scaling }}{{ end }}
{{- $stop := add .Values.settings.shutdown_delay_ms .Values.settings.drain_ms }}
{{- if lt (mul 1000 .Values.terminationGracePeriodSeconds) (add 10000 $stop) }}
{{- fail (printf "terminationGracePeriodSeconds is %v: it must exceed the sum of settings.shutdown_delay_ms and settings.drain_ms, which is %v ms, by 10 seconds for the processes to exit" .Values.terminationGracePeriodSeconds $stop) }}
{{- end }}
{{- include "sizewise.modelChecks" . }}
{{- include "sizewise.portChecks" . }}
{{- include "sizewise.extraChecks" . }}
{{- end }}

{{- define "sizewise.portChecks" -}}
{{- $taken := dict "8000" "the port of HTTP" }}{{ $grpc := .Values.grpc }}{{ $service := .Values.service }}
{{- $ports := list }}
{{- if $grpc.enabled }}{{ $ports = append $ports (list "grpc.port" $grpc.port) }}{{ end }}
{{- if .Values.admin.existingSecret }}{{ $ports = append $ports (list "admin.port" .Values.admin.port) }}{{ end }}
{{- range $container := .Values.sidecars }}
{{- range $container.ports }}
{{- $ports = append $ports (list (printf "a port of the sidecar %s" $container.name) .containerPort) }}
{{- end }}
{{- end }}
{{- range $each := $ports }}
{{- $port := last $each | int | toString }}
{{- with get $taken $port }}
{{- fail (printf "%s is %s, which is %s: choose another" (first $each) $port .) }}
{{- end }}
{{- $_ := set $taken $port (first $each) }}
{{- end }}
{{- if and $grpc.enabled (eq (int $grpc.port) (int $service.port)) }}
{{- fail (printf "service.port and grpc.port are both %v: the Service needs two ports, so choose another for one of them" $grpc.port) }}
{{- end }}
{{- if and $service.nodePort (eq (int $service.nodePort) (int $service.grpcNodePort)) }}
{{- fail (printf "service.nodePort and service.grpcNodePort are both %v: choose another for one of them" $service.nodePort) }}
{{- end }}
{{- if and (or $service.nodePort $service.grpcNodePort) (eq $service.type "ClusterIP") }}
{{- fail "service.nodePort is set, but service.type is ClusterIP: set it to NodePort or LoadBalancer" }}
{{- end }}
{{- end }}

{{/* What is added must not have the name of what the chart has. */}}
{{- define "sizewise.extraChecks" -}}
{{- range $what, $rendered := dict
  "extraEnv" (list "name" (printf "%s\n%s" (include "sizewise.env" .) (.Values.extraEnv | default list | toYaml | trimPrefix "[]")))
  "initContainers" (list "name" (printf "%s\n%s" (.Values.tuning.job.enabled | ternary "- name: tune" "") (include "sizewise.initContainers" . | trim)))
  "sidecars" (list "name" (printf "- name: server\n%s" (include "sizewise.sidecars" . | trim)))
  "sidecars and initContainers" (list "name" (printf "- name: server\n%s\n%s" (include "sizewise.sidecars" . | trim) (include "sizewise.initContainers" . | trim)))
  "extraVolumes" (list "name" (include "sizewise.volumes" .))
  "extraVolumeMounts" (list "mountPath" (include "sizewise.volumeMounts" .)) }}
{{- $seen := dict }}
{{- range last $rendered | fromYamlArray }}
{{- $name := get . (first $rendered) }}
{{- if hasKey $seen $name }}
{{- fail (printf "%s: %s is there twice, or the chart itself has it: choose another, or set the value of the chart" $what $name) }}
{{- end }}
{{- $_ := set $seen $name true }}
{{- end }}
{{- end }}
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
{{- if and .keda.authenticationRef .keda.secretTargetRef }}
{{- fail "autoscaling.keda has authenticationRef and secretTargetRef: set only the one, or the other to create it" }}
{{- end }}
{{- if and .keda.authModes (not (or .keda.authenticationRef .keda.secretTargetRef)) }}
{{- fail "autoscaling.keda.authModes is set without credentials: set autoscaling.keda.authenticationRef or secretTargetRef" }}
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
{{- if and (or $model.traffic $model.policy) $model.pvc }}
{{- fail (printf "models[%d] (%s) is on a claim, which is mounted read-only: write traffic.json and policy.json there" $number $model.family) }}
{{- end }}
{{- if and (or $model.traffic $model.policy) $model.url $.Values.fetch.everySeconds }}
{{- fail (printf "models[%d] (%s) has traffic or policy, and fetch.everySeconds mirrors those of the url: write traffic.json and policy.json there" $number $model.family) }}
{{- end }}
{{- if $model.url }}{{ $urls = add1 $urls }}{{ end }}
{{- end }}
{{- if and .Values.fetch.everySeconds (not $urls) }}
{{- fail "fetch.everySeconds is set, but no model has a url: remove it, or give a model a url" }}
{{- end }}
{{- if and .Values.networkPolicy.enabled (or $urls .Values.tracing.enabled) (not .Values.networkPolicy.egress) }}
{{- fail "networkPolicy is enabled and allows no outgoing traffic: allow what models with a url, or tracing, must reach in networkPolicy.egress" }}
{{- end }}
{{- end }}

{{/* By their words alone: what the selectors select is known to the cluster only. */}}
{{- define "sizewise.peerWarnings" -}}
{{- if .Values.networkPolicy.enabled }}
{{- $all := false }}{{ $peers := toJson .Values.networkPolicy.from | lower }}
{{- range .Values.networkPolicy.from }}
{{- if or .ipBlock (and (hasKey . "namespaceSelector") (not .namespaceSelector) (not .podSelector)) }}{{ $all = true }}{{ end }}
{{- end }}
{{- if and (or .Values.serviceMonitor.enabled .Values.autoscaling.enabled) (not $all) (not (regexMatch "prometheus|monitor|metrics|observab|victoria|agent|alloy" $peers)) }}
WARNING: no peer in networkPolicy.from looks like Prometheus. If it is in another namespace, it cannot scrape the pods:
add that namespace to networkPolicy.from.
{{- end }}
{{- if and (or .Values.ingress.enabled .Values.httpRoute.enabled .Values.grpcRoute.enabled) (not $all) (not (regexMatch "ingress|gateway|nginx|traefik|envoy|istio|contour|haproxy|kong|cilium" $peers)) }}
WARNING: no peer in networkPolicy.from looks like an ingress controller or a gateway. If it is in another namespace, it
cannot reach the pods: add that namespace to networkPolicy.from.
{{- end }}
{{- end }}
{{- end }}
