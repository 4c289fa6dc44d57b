{{/* Values that Kubernetes or the server would refuse later, and names that other charts give to what has another one here.
The schema lets those names pass, so that each gets its sentence. */}}

{{- define "sizewise.habits" -}}
env: name the variables in extraEnv
envFrom: name the sources in extraEnvFrom
volumes: name them in extraVolumes
volumeMounts: name them in extraVolumeMounts
extraContainers: name them in sidecars
extraInitContainers: name them in initContainers
replicas: set replicaCount
strategy: set updateStrategy
hpa: set autoscaling
pdb: set podDisruptionBudget
podDisruptionBudget.minAvailable: set podDisruptionBudget.maxUnavailable, which holds for any number of pods
autoscaling.targetCPUUtilizationPercentage: the chart scales on the queue, so set autoscaling.targetQueueSeconds or autoscaling.targetRequestsInFlight
service.spec.type: set service.type
service.spec.ports: set service.port, service.nodePort and service.grpcNodePort
service.spec.selector: the chart selects its own pods, so remove it
service.spec.ipFamilyPolicy: set service.ipFamilyPolicy
service.spec.ipFamilies: set service.ipFamilies
serviceMonitor.endpoint.port: the chart names its own port, so remove it
serviceMonitor.endpoint.path: the metrics are at /metrics, so remove it
serviceMonitor.endpoint.interval: set serviceMonitor.interval
{{- end }}

{{- define "sizewise.habitChecks" -}}
{{- range $path, $instead := include "sizewise.habits" . | fromYaml }}
{{- $node := $.Values }}
{{- range splitList "." $path }}{{ $node = kindIs "map" $node | ternary (get (kindIs "map" $node | ternary $node dict) .) "" }}{{ end }}
{{- if not (kindIs "string" $node | ternary (empty $node) (kindIs "invalid" $node)) }}
{{- fail (printf "%s is no value of this chart: %s" $path $instead) }}
{{- end }}
{{- end }}
{{- range .Values.ingress.hosts }}
{{- if not (kindIs "string" .) }}
{{- fail (printf "ingress.hosts has %s: list the host names alone, [a.example.com], and the paths in ingress.paths" (toJson .)) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "sizewise.valueChecks" -}}
{{- include "sizewise.habitChecks" . }}
{{- $label := "^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$" }}{{ $key := "^[-._A-Za-z0-9]*[-_A-Za-z0-9][-._A-Za-z0-9]*$" }}
{{- $rules := list
  (list "nameOverride" .Values.nameOverride $label "lower-case letters, digits and hyphens")
  (list "fullnameOverride" .Values.fullnameOverride $label "lower-case letters, digits and hyphens") }}
{{- range $name := list "apiKey" "callers" "admin" "tests" "textLog" }}
{{- $rules = append $rules (list (printf "%s.key" $name) (get (get $.Values $name) "key") $key "a key of a Secret: letters, digits, hyphens, dots and underscores") }}
{{- end }}
{{- range $number, $model := .Values.models }}
{{- $rules = append $rules (list (printf "models[%d].family" $number) $model.family "^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$" "lower-case letters, digits, dots and hyphens") }}
{{- with $model.url }}
{{- $rules = append $rules (list (printf "models[%d].url" $number) . "^(s3|gs|gcs|abfss?|az|hf|https?)://[^/]" "an address of s3, gs, abfs, hf or https; a folder of the cluster is a pvc") }}
{{- end }}
{{- with $model.pvc }}
{{- $path := .subPath | default "" }}
{{- if or (hasPrefix "/" $path) (has ".." (splitList "/" $path)) }}
{{- fail (printf "models[%d].pvc.subPath is %s: it must be a path inside the claim, such as registry/sentiment" $number $path) }}
{{- end }}
{{- end }}
{{- end }}
{{- range $rules }}
{{- if not (regexMatch (index . 2) (index . 1)) }}
{{- fail (printf "%s is %s: it must be %s" (index . 0) (index . 1) (index . 3)) }}
{{- end }}
{{- end }}
{{- $rolling := .Values.updateStrategy.rollingUpdate | default dict }}
{{- if and (eq .Values.updateStrategy.type "RollingUpdate") (regexMatch "^0%?$" (get $rolling "maxUnavailable" | toString)) (regexMatch "^0%?$" (get $rolling "maxSurge" | toString)) }}
{{- fail "updateStrategy.rollingUpdate has maxUnavailable and maxSurge 0, with which no pod is ever replaced: set one of them to 1 or more" }}
{{- end }}
{{- include "sizewise.addedChecks" . }}
{{- end }}

{{/* What is added to the containers. */}}
{{- define "sizewise.addedChecks" -}}
{{- range .Values.extraEnv }}
{{- if hasPrefix "SIZEWISE_" .name }}
{{- fail (printf "extraEnv has %s: set settings.%s, or the value of the chart that sets it" .name (trimPrefix "SIZEWISE_" .name | lower)) }}
{{- end }}
{{- if and (hasKey . "value") (not (kindIs "string" .value)) }}
{{- fail (printf "extraEnv: the value of %s is %v, which is no string: write it in quotes" .name .value) }}
{{- end }}
{{- end }}
{{- $volumes := list }}
{{- range include "sizewise.volumes" . | fromYamlArray }}{{ $volumes = append $volumes .name }}{{ end }}
{{- range .Values.extraVolumeMounts }}
{{- if not (has .name $volumes) }}
{{- fail (printf "extraVolumeMounts: no volume is called %s: add it to extraVolumes" .name) }}
{{- end }}
{{- $path := clean .mountPath }}
{{- if or (not (hasPrefix "/" $path)) (has $path (list "/" "/tmp")) }}
{{- fail (printf "extraVolumeMounts: %s is the chart's own, or no absolute path: choose another" .mountPath) }}
{{- end }}
{{- range list "/registry" "/cache" "/etc/sizewise" "/etc/sizewise-keys" "/opt/sizewise" "/var/lib/sizewise-tuning" }}
{{- if or (eq $path .) (hasPrefix (printf "%s/" .) $path) }}
{{- fail (printf "extraVolumeMounts: %s is in %s, which is the chart's own: choose another path" $path .) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
